"""Label: what somebody found out about a session, or about the lines of a template."""

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from foundation.documents.base import SchemaVersion, Time

LineClass = Literal[
    "normal", "security_anomaly", "system_failure", "performance_issue", "network_anomaly", "config_error",
    "hardware_issue",
]  # fmt: skip
"""What kind of line it is, in the order of the classifiers' outputs."""

FoundOut = Annotated[
    Time | None,
    Field(description="Time of the label; the time of the message if missing. A later label replaces an earlier one."),
]


@with_config(
    ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["session"]}, {"required": ["alert"]}],
            "not": {"required": ["template"]},
        }
    )
)
class SessionLabelDocument(TypedDict):
    """Whether a session, or the window of an alert, was anomalous."""

    schema_version: NotRequired[SchemaVersion]
    session: NotRequired[Annotated[str | None, Field(description="Session key, as in alerts.")]]
    alert: NotRequired[Annotated[str | None, Field(description="Id of an alert whose window has no session.")]]
    anomalous: Annotated[bool, Field(description="Whether the session was anomalous.")]
    time: NotRequired[FoundOut]


TemplateLabelDocument = TypedDict(
    "TemplateLabelDocument",
    {
        "schema_version": NotRequired[SchemaVersion],
        "template": Annotated[
            str,
            Field(
                min_length=1, description="Text of a template, as in drift events and the output of `driftline parse`."
            ),
        ],
        "class": Annotated[LineClass, Field(description="Class of the template's lines.")],
        "time": NotRequired[FoundOut],
    },
)
TemplateLabelDocument.__doc__ = "Which class the lines of a template belong to."

LabelDocument = SessionLabelDocument | TemplateLabelDocument
