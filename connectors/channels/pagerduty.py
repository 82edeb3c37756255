"""PagerDuty, Events API v2: a group is an incident, opened by its first notice and resolved by its last.

https://developer.pagerduty.com/docs/events-api-v2-overview
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, SecretStr

from connectors.channels.alert_text import details_of, second_text, severity_of, title_of
from connectors.channels.base import Answer, ChannelSettings, Notice, Request
from connectors.channels.links import link_of
from connectors.http_delivery import json_bytes
from foundation.documents.alert import SEVERITIES

_SEVERITY = dict(zip(SEVERITIES, ("info", "warning", "warning", "error", "critical"), strict=True))
"""The four severities of PagerDuty."""

MAX_SOURCE = 255
"""Characters of the source."""

MAX_DETAILS = 20_000
"""Characters of details; PagerDuty refuses events over 512 KB."""


class PagerDutySettings(ChannelSettings):
    """Alerts to PagerDuty."""

    type: Literal["pagerduty"] = "pagerduty"
    routing_key: SecretStr = Field(description="Integration key of an Events API v2 integration.")
    url: str = Field("https://events.pagerduty.com/v2/enqueue", description="Address of the Events API.")


class PagerDuty:
    """See the module; also a `Channel`."""

    repeats = False

    def __init__(self, settings: PagerDutySettings) -> None:
        self._settings = settings

    def requests(self, notices: Sequence[Notice]) -> Sequence[Request]:
        """One event a notice; the API takes one at a time."""
        return [Request(self._settings.url, json_bytes(self._event(n)), (n.group,)) for n in notices]

    def answer(self, status: int, body: bytes) -> Answer:
        """202 means accepted."""
        return Answer()

    def _event(self, notice: Notice) -> dict[str, object]:
        event: dict[str, object] = {
            "routing_key": self._settings.routing_key.get_secret_value(),
            "dedup_key": notice.group,
            "event_action": "resolve" if notice.status == "resolved" else "trigger",
        }
        if notice.status == "resolved":
            return event
        alert = notice.alert
        summary = f"{len(notice.digest)} groups in a minute: {notice.digest[0]}" if notice.digest else title_of(alert)
        event["payload"] = {
            "summary": summary,
            "source": str(alert.get("source") or alert.get("region") or "driftline")[:MAX_SOURCE],
            "severity": _SEVERITY[SEVERITIES[severity_of(alert)]],
            "timestamp": second_text(notice.first_s),
            "component": str(alert.get("region", "")),
            "group": str(alert.get("group", "")),
            "class": str((alert.get("classification") or {}).get("class", "anomaly")),
            "custom_details": {
                "count": notice.count,
                "details": ("\n".join(notice.digest) or details_of(alert))[:MAX_DETAILS],
            },
        }
        if link := link_of(self._settings.link, alert):
            event["links"] = [{"href": link, "text": "Driftline"}]
        return event
