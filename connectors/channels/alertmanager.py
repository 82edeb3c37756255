"""Prometheus Alertmanager, API v2: it groups, silences, routes and notifies; alerts are repeated until resolved.

Alertmanager keeps alerts in memory and resolves one automatically when it has not been repeated for
`resolve_timeout` (5 minutes by default), so a firing group is sent again every `repeat_s`.
https://prometheus.io/docs/alerting/latest/clients/
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, SecretStr

from connectors.channels.alert_text import second_text
from connectors.channels.base import Answer, ChannelSettings, Notice, Request
from connectors.channels.links import link_of
from connectors.channels.prometheus_shape import annotations_of, labels_of
from connectors.http_delivery import json_bytes, plain


class AlertmanagerSettings(ChannelSettings):
    """Alerts to Prometheus Alertmanager."""

    type: Literal["alertmanager"] = "alertmanager"
    url: str = Field(description="Address of Alertmanager, such as `http://alertmanager:9093`.")
    headers: Mapping[str, SecretStr] = Field({}, description="HTTP headers, such as Authorization.")
    labels: Mapping[str, str] = Field({}, description="Labels to add to every alert, for routing.")
    repeat_s: float = Field(60.0, gt=0, description="Seconds between reminders of a group.")


class Alertmanager:
    """See the module; also a `Channel`."""

    repeats = True

    def __init__(self, settings: AlertmanagerSettings) -> None:
        self._settings = settings
        self._url = f"{settings.url.rstrip('/')}/api/v2/alerts"

    def requests(self, notices: Sequence[Notice]) -> Sequence[Request]:
        """One request with all notices."""
        if not notices:
            return ()
        body = json_bytes([self._alert(notice) for notice in notices])
        groups = tuple(notice.group for notice in notices)
        return (Request(self._url, body, groups, headers=plain(self._settings.headers)),)

    def answer(self, status: int, body: bytes) -> Answer:
        """Below 400 everything is accepted."""
        return Answer()

    def _alert(self, notice: Notice) -> dict[str, object]:
        labels = {**labels_of(notice), "group": notice.group}
        times = {"startsAt": second_text(notice.first_s)}
        if notice.status == "resolved":
            times["endsAt"] = second_text(max(notice.last_s, notice.first_s + 1))
        link = link_of(self._settings.link, notice.alert)
        return {
            "labels": {**self._settings.labels, **labels},
            "annotations": {**annotations_of(notice), "count": str(notice.count)},
            **times,
            **({"generatorURL": link} if link else {}),
        }
