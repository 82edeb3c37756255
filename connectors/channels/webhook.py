"""Any receiver of Alertmanager's webhook, version 4: one request a notice in that shape.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, SecretStr

from connectors.channels.alert_text import second_text
from connectors.channels.base import Answer, ChannelSettings, Notice, Request
from connectors.channels.links import link_of
from connectors.channels.prometheus_shape import annotations_of, labels_of
from connectors.http_delivery import json_bytes, plain
from foundation.content_ids import text_digest

NOT_ENDED = "0001-01-01T00:00:00Z"
"""What Alertmanager writes for an alert that has not ended."""


class WebhookSettings(ChannelSettings):
    """Alerts to a webhook in the shape of Alertmanager's."""

    type: Literal["webhook"] = "webhook"
    url: str = Field(description="Address of the receiver.")
    headers: Mapping[str, SecretStr] = Field({}, description="HTTP headers, such as Authorization.")


class Webhook:
    """See the module; also a `Channel`."""

    repeats = False

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings

    def requests(self, notices: Sequence[Notice]) -> Sequence[Request]:
        """One request a notice."""
        headers = plain(self._settings.headers)
        return [Request(self._settings.url, json_bytes(self._body(n)), (n.group,), headers=headers) for n in notices]

    def answer(self, status: int, body: bytes) -> Answer:
        """Below 400 the notice is accepted."""
        return Answer()

    def _body(self, notice: Notice) -> dict[str, object]:
        labels, annotations = labels_of(notice), annotations_of(notice)
        link = link_of(self._settings.link, notice.alert)
        ended = second_text(notice.last_s) if notice.status == "resolved" else NOT_ENDED
        return {
            "version": "4",
            "groupKey": notice.group,
            "truncatedAlerts": 0,
            "status": notice.status,
            "receiver": "driftline",
            "groupLabels": labels,
            "commonLabels": labels,
            "commonAnnotations": annotations,
            "externalURL": link,
            "alerts": [
                {
                    "status": notice.status,
                    "labels": labels,
                    "annotations": annotations,
                    "startsAt": second_text(notice.first_s),
                    "endsAt": ended,
                    "generatorURL": link,
                    "fingerprint": text_digest(notice.group).hex(),
                }
            ],
        }
