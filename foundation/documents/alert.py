"""Alert: one anomalous window of log lines."""

from typing import Annotated, Literal, NotRequired, get_args

from pydantic import Field
from typing_extensions import TypedDict

from foundation.documents.base import Count, Id, ModelVersion, Name, SchemaVersion, Share, TemplateId, TimeNs
from foundation.documents.label import LineClass

EVENT_TYPE = "io.driftline.alert.v1"
"""CloudEvents type; a change of the document that breaks readers gets a new one."""

Severity = Literal["info", "low", "medium", "high", "critical"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From harmless to grave."""
"""From harmless to grave."""


class TemplateCount(TypedDict):
    """A template of the window."""

    id: TemplateId
    text: str
    count: Annotated[int, Field(ge=1, description="Lines of the window with this template.")]


class LineContribution(TypedDict):
    """A line of the window and what it adds to the score."""

    line: Annotated[int, Field(ge=0, description="Its position in the window, from 0.")]
    text: Annotated[str, Field(description="Text of its template.")]
    raw: Annotated[
        str | None,
        Field(
            description="The raw line, redacted and truncated; null if it is no longer in memory or lines are not "
            "quoted."
        ),
    ]
    contribution: Annotated[
        float, Field(description="Contribution to the score; negative if it makes the window more normal.")
    ]


class ScoreExplanation(TypedDict):
    """How the score is made up: base + contributions of lines + rest, up to the error of a numeric integration."""

    base: Annotated[float, Field(description="The part that does not belong to a line, such as a missing line.")]
    lines: Annotated[
        list[LineContribution], Field(description="The lines that contribute most, the largest contribution first.")
    ]
    rest: Annotated[float, Field(description="Sum of the contributions of the lines that are not listed.")]


class ClassReason(TypedDict):
    """A part of a line that supports its class or contradicts it."""

    what: Annotated[str, Field(description="A word, a feature or a rule, redacted.")]
    value: Annotated[float, Field(description="How much it adds to the class, in the classifier's own unit.")]


LineClassification = TypedDict(
    "LineClassification",
    {
        "model": Annotated[Name, Field(description="Name of the line classifier.")],
        "version": Annotated[ModelVersion, Field(description="Its version in the model store.")],
        "class": Annotated[LineClass, Field(description="Class of the line.")],
        "probability": Annotated[Share, Field(description="Probability of that class.")],
        "line": Annotated[
            int,
            Field(ge=0, description="Position of the line in the window, or among the examples of a finding, from 0."),
        ],
        "text": Annotated[str, Field(description="Text of its template.")],
        "probabilities": Annotated[dict[LineClass, Share], Field(description="Probability of every class.")],
        "reasons": Annotated[
            list[ClassReason] | None,
            Field(
                description="Reasons for the class, the most important first; null unless `explain` in [classify] "
                "is set."
            ),
        ],
    },
)
LineClassification.__doc__ = "Class of the line of the window that is least normal."


class Example(TypedDict):
    """A line that shows a reason."""

    place: Annotated[str, Field(description="Its position: topic/partition/offset, or path, line L, byte N.")]
    line_number: NotRequired[Annotated[int, Field(ge=1, description="Its number in its file, if known.")]]
    line: Annotated[str, Field(description="The raw line, redacted and cut.")]


class Reason(TypedDict):
    """Why the window is unusual."""

    kind: Annotated[
        str,
        Field(
            min_length=1,
            description="Kind, such as new, more, fewer, silent, value, level, node or order; later "
            "versions may add others.",
        ),
    ]
    sentence: NotRequired[Annotated[str, Field(description="The reason in one sentence.")]]
    template: Annotated[
        str, Field(description="Text of the template that it is about; empty if it is not about a template.")
    ]
    template_id: NotRequired[TemplateId]
    observed: NotRequired[Annotated[float | None, Field(description="The value now, in `unit`.")]]
    usual: NotRequired[Annotated[float | None, Field(description="The expected value, in `unit`.")]]
    unit: NotRequired[Annotated[str, Field(description="Unit of both, such as lines.")]]
    examples: NotRequired[list[Example]]


class Digest(TypedDict):
    """What an alert represents that exceeded the budget of alerts."""

    alerts: Annotated[int, Field(ge=2, description="Alerts that are sent as this one.")]
    since: Annotated[TimeNs, Field(description="Event time of the earliest line of the first of them.")]


class AlertDocument(TypedDict):
    """One anomalous window of log lines. CloudEvents type io.driftline.alert.v1."""

    schema_version: NotRequired[SchemaVersion]
    id: Annotated[
        Id,
        Field(
            description="Hash of region, source, session, first and last position. A replay gives the same id, so "
            "duplicates can be dropped."
        ),
    ]
    region: Annotated[str, Field(min_length=1, description="Region whose engine raised the alert.")]
    source: Annotated[str, Field(description="Partition of the lines: topic/partition, or the path of a file.")]
    session: Annotated[str, Field(description="Session key of the window; empty if windows are cut per source.")]
    score: Annotated[float, Field(description="Anomaly score; higher is more anomalous.")]
    threshold: Annotated[
        float,
        Field(
            description="Score from which the window counted as anomalous: the model's calibrated one, or the one set "
            "in its place."
        ),
    ]
    model: Annotated[str, Field(min_length=1, description="Name of the model that scored the window.")]
    version: Annotated[ModelVersion, Field(description="Version of that model in the model store.")]
    first_position: Annotated[
        int, Field(description="Position of the first line in its source, as a number that orders lines.")
    ]
    last_position: Annotated[int, Field(description="Position of the last line.")]
    first_place: Annotated[
        str,
        Field(
            description="Place of the first line: topic/partition/offset, or path, line L, byte N: where the line "
            "begins in its file."
        ),
    ]
    last_place: Annotated[str, Field(description="Place of the last line.")]
    first_time: Annotated[TimeNs, Field(description="Event time of the earliest line.")]
    last_time: Annotated[TimeNs, Field(description="Event time of the latest line.")]
    line_count: Annotated[Count, Field(description="Lines in the window.")]
    closed: Annotated[bool, Field(description="False if the session was still open when it was scored.")]
    templates: Annotated[list[TemplateCount], Field(description="The window's templates in order of first appearance.")]
    lines: Annotated[list[str], Field(description="The last raw lines of the window, redacted and cut.")]
    lines_omitted: Annotated[Count, Field(description="Lines of the window that are not quoted.")]
    explanation: Annotated[
        ScoreExplanation | None,
        Field(
            description="The lines that contribute most to the score; null unless `explain` in [alert] is set and "
            "the model can explain the score."
        ),
    ]
    classification: Annotated[
        LineClassification | None,
        Field(
            description="Result of the line classifier for the least normal line of the window; null if [classify] "
            "is not set or the classifier failed."
        ),
    ]
    repeats: Annotated[
        Count,
        Field(
            description="Anomalous windows of the same session since its last alert that did not raise an alert; "
            "suppressed windows are not counted."
        ),
    ]
    group: Annotated[
        str, Field(pattern="^[0-9a-f]{16}$", description="Id of the group: signature of the set of templates.")
    ]
    group_count: Annotated[
        int, Field(ge=1, description="Alerts of the group within the grouping time, this one included.")
    ]
    group_first_time: NotRequired[
        Annotated[TimeNs, Field(description="Event time of the earliest line of the group's first alert.")]
    ]
    summary: NotRequired[Annotated[str, Field(description="The alert in one sentence.")]]
    severity: NotRequired[Annotated[Severity, Field(description="Severity.")]]
    reasons: NotRequired[
        Annotated[list[Reason], Field(description="Why the window is unusual, the strongest reason first.")]
    ]
    digest: NotRequired[
        Annotated[
            Digest,
            Field(
                description="Given where several alerts exceeded the budget and are sent as one: this is the most "
                "severe of them, and its reasons and templates are those of all."
            ),
        ]
    ]
    links: NotRequired[
        Annotated[dict[str, str], Field(description="Addresses of pages about the alert, by name, such as console.")]
    ]
    created: Annotated[TimeNs, Field(description="When the alert was made.")]
    traceparent: Annotated[
        str, Field(description="W3C trace context of the batch that completed the window, or empty.")
    ]
