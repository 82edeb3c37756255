"""Drift event: the stream has changed, or a new model version does worse than the one before."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from foundation.documents.base import Count, Id, ModelVersion, Name, SchemaVersion, Share, TemplateId, TimeNs

EVENT_TYPE = "io.driftline.drift.v1"
"""CloudEvents type; a change of the document that breaks readers gets a new one."""


class ModelReference(TypedDict):
    """A version in the model store."""

    name: Name
    version: ModelVersion


class TemplateShareChange(TypedDict):
    """A template and the share of windows that contain it, then and now."""

    id: TemplateId
    text: Annotated[str, Field(description="Its text; empty if the region does not send texts (`texts` in [drift]).")]
    reference_share: Annotated[Share, Field(description="Share of the reference's windows that contain it.")]
    current_share: Annotated[Share, Field(description="Share of the windows since the change that contain it.")]


class DriftEventDocument(TypedDict):
    """A region's stream differs from the one at the activation of its model, or a new version performs worse.

    CloudEvents type io.driftline.drift.v1.
    """

    schema_version: NotRequired[SchemaVersion]
    id: Annotated[
        Id,
        Field(
            description="Hash of the subject of the event, without its figures. A replay gives the same id, so "
            "duplicates can be dropped."
        ),
    ]
    type: Annotated[
        Literal["drift", "regression"],
        Field(
            description="drift: the stream has changed. regression: the model version performed worse in production "
            "and was rolled back."
        ),
    ]
    kind: NotRequired[
        Annotated[
            Literal["new_templates", "renamed", "vanished", "rate", "scores", "labels"] | None,
            Field(
                description="What changed: templates that are new, reworded, gone, or more or less frequent; scores; "
                "operators' labels. null of a regression."
            ),
        ]
    ]
    over: NotRequired[
        Annotated[
            bool,
            Field(
                description="Whether the stream has returned to the reference: the end of a drift that was "
                "reported earlier."
            ),
        ]
    ]
    region: Annotated[Name, Field(description="Region whose engine detected it.")]
    detector: Annotated[
        Name,
        Field(
            description="Which statistic: share of windows with a template never seen (novelty), largest move of one "
            "template's share of windows (jensen_shannon), population stability index of all templates (psi), mean of "
            "the scores (adwin), distribution of the scores (kswin), embeddings of windows (mmd), wrong alerts under "
            "operators' feedback (precision). Of a regression: the alert rate compared with that of the version "
            "before (alert_rate), or precision."
        ),
    ]
    statistic: Annotated[float, Field(description="Its value; higher is further from the reference.")]
    threshold: Annotated[float, Field(description="The value from which it counts as drift.")]
    since: Annotated[
        TimeNs,
        Field(description="Event time at which the change began, to the block of windows."),
    ]
    time: Annotated[TimeNs, Field(description="Event time of the latest window.")]
    windows: Annotated[Count, Field(description="Number of windows (or rated alerts) in the statistic.")]
    model: Annotated[
        ModelReference, Field(description="The model in service; for a regression, the version that was rolled back.")
    ]
    templates: Annotated[
        list[TemplateShareChange],
        Field(description="The templates with the largest change first; redacted like alerts."),
    ]
    evidence: Annotated[
        dict[str, Any],
        Field(
            description="Further facts. origin: which of the region's workers, as number/of. others: the other "
            "detectors raised, with statistic and threshold. A regression names the version that it was compared "
            "with, and both alert rates."
        ),
    ]
    signature: NotRequired[
        Annotated[
            str,
            Field(
                description="ECDSA with SHA-384 of the region's key over the other fields as JSON with sorted keys and "
                "without spaces, in base64."
            ),
        ]
    ]
