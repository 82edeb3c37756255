"""The outcome of a round that reached the gate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from federation.protocol.records import UNLABELLED, HoldoutFigures, LabelledAnomalies, Weights
from models.thresholds.base import HeldOut


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reply that was not used.

    Attributes:
        region: Name of the region, or `node N` if it never gave a valid name.
        number: Pass, from 0; `passes` for the replies after the last pass.
        reason: One sentence.
    """

    region: str
    number: int
    reason: str


class Standing(StrEnum):
    """The verdict of a region's own sessions on the candidate; held: labels made its version, and none judge now."""

    GAINS = "gains"
    LOSES = "loses"
    OPEN = "open"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class RegionVerdict:
    """The verdict on the candidate in one region.

    Attributes:
        region: Name of the region.
        standing: The verdict of its own sessions.
        adopts: Whether the region takes the candidate.
        before, after: F1, accuracy or macro F1 of the current model and of the candidate.
        labelled: Number of sessions or templates with a label.
        alerts_added: Sessions of the holdout on which only the candidate alerts, with and without a label.
        alerts_dropped: Those on which only the current model does.
    """

    region: str
    standing: Standing
    adopts: bool
    before: float
    after: float
    labelled: int
    alerts_added: int = 0
    alerts_dropped: int = 0


@dataclass(frozen=True, slots=True)
class Baseline:
    """A version that regions serve, with which the candidate is compared there.

    Attributes:
        regions: Names of these regions; of the version that the candidate starts from, none.
        weights: Weights of the version.
        threshold: Threshold of the version.
        made_with: Labelled anomalies that it was trained or judged with.
    """

    regions: frozenset[str]
    weights: Weights
    threshold: float
    made_with: LabelledAnomalies = UNLABELLED


@dataclass(frozen=True, slots=True)
class RoundResult:
    """The candidate and the gate's verdict.

    Attributes:
        round_id: Id of the round.
        weights: Weights of the candidate.
        threshold: Threshold of the candidate, fitted over all regions' calibration windows.
        accepted: Whether the gate accepts the candidate for publication.
        reason: Why, or why not, in one sentence.
        figures: Holdout figures by region.
        participants: Regions with a valid update in the last pass, sorted.
        refusals: Replies that were refused, in order.
        missing: Regions that did not answer in time, by pass.
        examples: Windows trained on in the last pass.
        epsilon: Largest budget spent by a region; None in a privacy mode without a budget.
        verdicts: The gate's verdict for each region that judged, sorted by name.
        others_adopt: Whether regions that did not judge take the candidate.
        held_out: The calibration scores of all regions, with which an engine corrects the threshold on its stream; None
            of a line classifier.
        thresholds: Thresholds of single regions instead of `threshold`; see `federation.round.personal_thresholds`.
    """

    round_id: str
    weights: Weights
    threshold: float
    accepted: bool
    reason: str
    figures: tuple[HoldoutFigures, ...]
    participants: tuple[str, ...]
    refusals: tuple[Refusal, ...] = ()
    missing: tuple[str, ...] = ()
    examples: int = 0
    epsilon: float | None = None
    verdicts: tuple[RegionVerdict, ...] = ()
    others_adopt: bool = True
    held_out: HeldOut | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def known(self) -> LabelledAnomalies:
        """Labelled anomalies in the regions that judged."""
        return sum((figures.known for figures in self.figures), UNLABELLED)

    def adopted_by(self, region: str) -> bool:
        """Whether a region takes the candidate; one that did not judge follows the others."""
        judged = {verdict.region: verdict.adopts for verdict in self.verdicts}
        return self.accepted and judged.get(region, self.others_adopt)
