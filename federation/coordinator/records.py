"""Records that the coordinator keeps: reasons for rounds, rounds, rollbacks and the attendance of regions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from federation.protocol.records import UNLABELLED, LabelledAnomalies
from federation.round.result import RegionVerdict


class RoundStep(StrEnum):
    """The last completed step of a round or a rollback, in this order."""

    PLANNED = "planned"
    STARTED = "started"
    JUDGED = "judged"
    PUBLISHED = "published"
    AUDITED = "audited"
    DONE = "done"


RoundOutcome = Literal["", "accepted", "published", "refused", "superseded", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class RoundTrigger:
    """A reason for a round.

    Attributes:
        id: Unique id; a second trigger with the same id is the same one.
        kind: `drift` from a region, `schedule`, or `manual` by an operator's command.
        region: Region that it comes from, "" if none.
        time_ns: Wall clock of its arrival.
        version: Model version that it is about; 0 if none.
        text: The reason in one sentence.
        attempts: Rounds for this trigger that have failed so far.
    """

    id: str
    kind: Literal["drift", "schedule", "manual"]
    region: str
    time_ns: int
    version: int
    text: str
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Round:
    """A round in the ledger; times are wall clock in ns, 0 if the round has not come to that point.

    Attributes:
        round_id: Id of the round.
        model, version: Model and version that the round starts from.
        reason: Why the round was planned.
        step: Last completed step.
        planned_ns, started_ns, ended_ns: When it was planned, started and closed.
        number: Number of the round, from 1.
        traceparent: W3C context of the round's trace.
        outcome: "" until it is judged.
        sentence: Why it has this outcome.
        published: Version that was published; 0 if none.
        threshold: Threshold of the candidate.
        participants, missing: Regions that took part, and that did not answer.
        refusals: Refused replies, one sentence each.
        figures: (region, counts of the current model, counts of the candidate); see `HoldoutFigures`.
        verdicts: The gate's verdict for each region that judged.
        held: Regions that do not take the candidate, with the version that they keep.
        labels: Labelled anomalies in the regions that judged.
        examples: Windows trained on in the last pass.
        epsilon: Largest privacy budget spent by a region; None without a budget.
    """

    round_id: str
    model: str
    version: int
    reason: str
    step: RoundStep
    planned_ns: int
    number: int = 0
    started_ns: int = 0
    ended_ns: int = 0
    traceparent: str = ""
    outcome: RoundOutcome = ""
    sentence: str = ""
    published: int = 0
    threshold: float = 0.0
    participants: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    figures: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    verdicts: tuple[RegionVerdict, ...] = ()
    held: Mapping[str, int] = field(default_factory=dict)
    labels: LabelledAnomalies = UNLABELLED
    examples: int = 0
    epsilon: float | None = None


@dataclass(frozen=True, slots=True)
class Rollback:
    """A rollback; its steps are PLANNED, PUBLISHED and DONE.

    Attributes:
        id: Unique id; a second rollback with the same id is the same one.
        model: Name of the model.
        bad, good: Version that is left, and the earlier one that replaces it.
        reason: One sentence.
        step: Last completed step.
        time_ns: Wall clock of the decision.
        region: The only region that it is for; "" for all.
        automatic: Whether reports of regressions caused it, and not a command.
    """

    id: str
    model: str
    bad: int
    good: int
    reason: str
    step: RoundStep
    time_ns: int
    region: str = ""
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class Attendance:
    """How a region attends rounds.

    Attributes:
        name: Name of the region.
        missed: Rounds in a row that it was missing from.
        attended: Rounds that it took part in.
        last_round: Id of the last of these, "" if none.
    """

    name: str
    missed: int
    attended: int
    last_round: str
