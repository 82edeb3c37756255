"""Round result: how a federated round ended, as the ServerApp leaves it in the round's folder."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from foundation.documents.base import Count, SchemaVersion, Sha256, Share


class DifferenceCounts(TypedDict):
    """Sessions, or templates of a line classifier, on which exactly one of the two models is right."""

    found: Annotated[Count, Field(description="Anomalies that only the candidate finds.")]
    lost: Annotated[Count, Field(description="Anomalies that only the current model finds.")]
    cleared: Annotated[Count, Field(description="False alarms of the current model alone.")]
    raised: Annotated[Count, Field(description="False alarms of the candidate alone.")]


class LabelledAnomalyCounts(TypedDict):
    """Anomalous sessions, or templates with a class, that have a label."""

    feedback: Annotated[Count, Field(description="By operators' answers.")]
    labels: Annotated[Count, Field(description="By external ground truth.")]
    rules: Annotated[Count, Field(description="By rules.")]


class RegionFigures(TypedDict):
    """How well current model and candidate do on a region's holdout sessions."""

    region: str
    current: Annotated[list[int], Field(description="Counts of the current model; see `HoldoutFigures`.")]
    candidate: Annotated[list[int], Field(description="Counts of the candidate.")]
    answered: NotRequired[
        Annotated[DifferenceCounts, Field(description="Differences by labels with the provenance feedback or labels.")]
    ]
    ruled: NotRequired[Annotated[DifferenceCounts, Field(description="Differences by labels of rules.")]]
    unlabelled: NotRequired[
        Annotated[
            list[int],
            Field(
                description="Sessions without a label on which both models alert, the current one alone, the candidate "
                "alone, neither."
            ),
        ]
    ]
    made_up: NotRequired[
        Annotated[
            DifferenceCounts, Field(description="Incidents made up in windows without a label that one model finds.")
        ]
    ]
    strange: NotRequired[
        Annotated[
            list[int],
            Field(
                description="Windows without a label beyond 99 % of the calibration windows: by the current model, by "
                "the candidate, and all that were looked at."
            ),
        ]
    ]
    known: NotRequired[
        Annotated[LabelledAnomalyCounts, Field(description="Anomalies with a label in all sessions of the region.")]
    ]
    anchors: NotRequired[
        Annotated[
            DifferenceCounts, Field(description="Labelled anomalies outside the holdout that only one model finds.")
        ]
    ]


class RegionVerdictDocument(TypedDict):
    """The gate's verdict on the candidate in one region."""

    region: str
    standing: Annotated[
        Literal["gains", "loses", "open", "held"],
        Field(
            description="Verdict of its own sessions; open: neither is sure; held: labels made its version, and none "
            "judge now."
        ),
    ]
    adopts: Annotated[bool, Field(description="Whether the region takes the candidate.")]
    before: Annotated[Share, Field(description="F1, accuracy or macro F1 of the current model.")]
    after: Annotated[Share, Field(description="The same of the candidate.")]
    labelled: Annotated[Count, Field(description="Number of sessions or templates with a label.")]
    alerts_added: NotRequired[
        Annotated[Count, Field(description="Sessions of the holdout on which only the candidate alerts.")]
    ]
    alerts_dropped: NotRequired[
        Annotated[Count, Field(description="Sessions of the holdout on which only the current model alerts.")]
    ]


class CalibrationScores(TypedDict):
    """Scores of all regions' calibration windows, with which an engine corrects the threshold on its stream."""

    normal_scores: Annotated[list[float], Field(description="Distinct scores of normal windows, ascending; a sample.")]
    normal_shares: Annotated[list[float], Field(description="Share of the normal windows that each score represents.")]
    count: Annotated[Count, Field(description="Normal windows in all.")]
    labelled: Annotated[bool, Field(description="Whether labels of both classes support the threshold.")]
    max_share: Annotated[Share, Field(description="Highest plausible share of windows at or above the threshold.")]


class RefusedReply(TypedDict):
    """A reply that was not used."""

    region: Annotated[str, Field(description="The region, or `node N` if it never gave a valid name.")]
    number: Annotated[int, Field(ge=0, description="Pass, from 0; `passes` for the replies after the last pass.")]
    reason: Annotated[str, Field(description="One sentence.")]


class RoundResultDocument(TypedDict):
    """A round that reached the gate; the candidate's weights are in a file next to this document."""

    schema_version: NotRequired[SchemaVersion]
    round_id: Annotated[str, Field(description="Id of the round.")]
    weights: Annotated[Sha256, Field(description="SHA-256 of the file of weights.")]
    threshold: Annotated[
        float, Field(description="Threshold of the candidate, fitted over all regions' calibration windows.")
    ]
    accepted: Annotated[bool, Field(description="Whether the gate accepts the candidate for publication.")]
    reason: Annotated[str, Field(description="Why, or why not, in one sentence.")]
    figures: Annotated[list[RegionFigures], Field(description="Holdout figures by region.")]
    participants: Annotated[list[str], Field(description="Regions with a valid update in the last pass, sorted.")]
    refusals: Annotated[list[RefusedReply], Field(description="Replies that were refused, in order.")]
    missing: Annotated[list[str], Field(description="Regions that did not answer in time, by pass.")]
    examples: Annotated[Count, Field(description="Windows trained on in the last pass.")]
    epsilon: Annotated[
        float | None,
        Field(description="Largest privacy budget spent by a region; null in a privacy mode without a budget."),
    ]
    verdicts: NotRequired[
        Annotated[list[RegionVerdictDocument], Field(description="Verdict for each region that judged, sorted.")]
    ]
    held_out: NotRequired[Annotated[CalibrationScores | None, Field(description="Null of a line classifier.")]]
    thresholds: NotRequired[
        Annotated[dict[str, float], Field(description="Thresholds of single regions instead of the candidate's.")]
    ]
    others_adopt: NotRequired[
        Annotated[bool, Field(description="Whether regions that did not judge take the candidate.")]
    ]


class RoundFailureDocument(TypedDict):
    """A round that ended without a candidate."""

    schema_version: NotRequired[SchemaVersion]
    failed: Annotated[str, Field(description="Why, in one sentence.")]
    present: NotRequired[
        Annotated[list[str] | None, Field(description="Regions that answered to the end; null where unknown.")]
    ]
