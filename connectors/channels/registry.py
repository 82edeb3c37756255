"""Every channel by the `type` that settings name it with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from connectors.channels.alertmanager import Alertmanager, AlertmanagerSettings
from connectors.channels.apprise import AppriseChannel, AppriseSender, AppriseSettings
from connectors.channels.base import Channel, ChannelSettings
from connectors.channels.pagerduty import PagerDuty, PagerDutySettings
from connectors.channels.sink import ChannelSink
from connectors.channels.slack import Slack, SlackSettings
from connectors.channels.webhook import Webhook, WebhookSettings
from foundation.extras import require

ChannelSinkSettings = AlertmanagerSettings | PagerDutySettings | SlackSettings | WebhookSettings | AppriseSettings
"""What a region's settings may name as a channel."""


@dataclass(frozen=True, slots=True)
class ChannelEntry:
    """A kind of channel: its settings, its requests, and the sink that sends them."""

    settings: type[ChannelSettings]
    channel: Callable[[Any], Channel]
    build: Callable[[Any], ChannelSink]


def _over_http(channel: Callable[[Any], Channel], repeat: bool = False) -> Callable[[Any], ChannelSink]:
    def build(settings: Any) -> ChannelSink:
        require("notify", f"the sink {settings.type}", "urllib3")
        repeat_s = settings.repeat_s if repeat else None
        return ChannelSink(settings, channel(settings), settings.url, repeat_s=repeat_s)

    return build


CHANNELS: dict[str, ChannelEntry] = {
    "alertmanager": ChannelEntry(AlertmanagerSettings, Alertmanager, _over_http(Alertmanager, repeat=True)),
    "pagerduty": ChannelEntry(PagerDutySettings, PagerDuty, _over_http(PagerDuty)),
    "slack": ChannelEntry(SlackSettings, Slack, _over_http(Slack)),
    "webhook": ChannelEntry(WebhookSettings, Webhook, _over_http(Webhook)),
    "apprise": ChannelEntry(
        AppriseSettings, AppriseChannel, lambda s: ChannelSink(s, AppriseChannel(s), "", send=AppriseSender(s))
    ),
}
