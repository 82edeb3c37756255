"""What a channel is: it turns notices about groups of alerts into requests to a service.

A notice is about one group: alerts that show the same. A channel has no state and no clock of its own;
`GroupBook` decides which notices are due, and `ChannelSink` sends them and remembers what was delivered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import Field

from connectors.sink_settings import BaseSinkSettings

Status = Literal["firing", "resolved"]


@dataclass(frozen=True, slots=True)
class Notice:
    """What there is to report about one group.

    Attributes:
        group: Identity of the group, the same for every notice about it; the service's key for repeats.
        status: `firing` while alerts come, `resolved` once they have stopped.
        alert: The latest alert document of the group; of a digest, the document of its strongest group.
        count: Alerts of the group since it opened.
        first_s: When the group opened, in seconds since 1970.
        last_s: When its latest alert was taken, in seconds since 1970.
        reference: What the service answered to the first notice (such as a message to reply to), or "".
        digest: Of a digest, one line per group that is reported together; else empty.
    """

    group: str
    status: Status
    alert: Mapping[str, Any]
    count: int
    first_s: float
    last_s: float
    reference: str = ""
    digest: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; `groups` are the notices that it delivers."""

    url: str
    body: bytes
    groups: tuple[str, ...]
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service made of a request.

    Attributes:
        problem: Why the request counts as not delivered, as a sentence; empty where it is.
        reference: For later notices about the same group, or "".
    """

    problem: str = ""
    reference: str = ""


class Channel(Protocol):
    """Requests for notices, and the meaning of the service's answers."""

    repeats: bool
    """Whether the service has to be reminded of a group while it fires."""

    def requests(self, notices: Sequence[Notice]) -> Sequence[Request]:
        """The requests that deliver these notices, in order; one may deliver several."""
        ...

    def answer(self, status: int, body: bytes) -> Answer:
        """What an answer with a status below 400 means. Some services report errors with status 200."""
        ...


class ChannelSettings(BaseSinkSettings):
    """What all channels share: which alerts, how often, and when a group is over."""

    min_severity: Literal["info", "low", "medium", "high", "critical"] = Field(
        "info", description="Alerts below this severity are not sent here."
    )
    update_s: float = Field(
        300.0, ge=0, description="Seconds between two notices about an ongoing group, unless it gets more severe."
    )
    resolve_after_s: float = Field(3600.0, gt=0, description="Seconds without an alert that end a group.")
    max_groups_per_minute: int = Field(
        20, ge=1, description="New groups sent one by one in a minute; further ones are sent together as a digest."
    )
    timeout_s: float = Field(10.0, gt=0, description="How long the service may take to answer, in seconds.")
    link: str = Field(
        "",
        description="Address that notices link to; `{id}` and `{group}` are replaced by those of the alert. "
        "Empty: none.",
    )
