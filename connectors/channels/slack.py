"""Slack by `chat.postMessage`: one message a group, everything later about it in its thread.

Slack takes about one message a second in a channel and answers 429 with `Retry-After` beyond that. It
reports errors with status 200 and `"ok": false`. https://api.slack.com/methods/chat.postMessage
"""

import json
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, SecretStr

from connectors.channels.alert_text import details_of, severity_of, title_of
from connectors.channels.base import Answer, ChannelSettings, Notice, Request
from connectors.channels.links import link_of
from connectors.http_delivery import json_bytes
from foundation.documents.alert import SEVERITIES

MAX_TEXT = 3_000
"""Characters of a message's details; Slack cuts a section at 3,000 and a message at 40,000."""


class SlackSettings(ChannelSettings):
    """Alerts to a Slack channel."""

    type: Literal["slack"] = "slack"
    token: SecretStr = Field(description="Bot token (`xoxb-...`) with the scope `chat:write`.")
    channel: str = Field(min_length=1, description="Channel id or name; the bot must be a member.")
    url: str = Field("https://slack.com/api/chat.postMessage", description="Address of the API method.")


class Slack:
    """See the module; also a `Channel`."""

    repeats = False

    def __init__(self, settings: SlackSettings) -> None:
        self._settings = settings

    def requests(self, notices: Sequence[Notice]) -> Sequence[Request]:
        """One message a notice."""
        headers = {
            "Authorization": f"Bearer {self._settings.token.get_secret_value()}",
            "Content-Type": "application/json; charset=utf-8",
        }
        return [Request(self._settings.url, json_bytes(self._message(n)), (n.group,), headers=headers) for n in notices]

    def answer(self, status: int, body: bytes) -> Answer:
        """Slack's own word on whether the message was taken, and its time stamp, which names the thread."""
        try:
            found = json.loads(body)
        except ValueError:
            return Answer("slack: the answer is not JSON")
        if not found.get("ok"):
            return Answer(f"slack: {found.get('error', 'no reason given')}")
        return Answer(reference=str(found.get("ts", "")))

    def _message(self, notice: Notice) -> dict[str, object]:
        message: dict[str, object] = {"channel": self._settings.channel, "unfurl_links": False}
        if notice.reference:
            message["thread_ts"] = notice.reference
        alert = notice.alert
        if notice.status == "resolved":
            message["text"] = f"Over: no alert since {notice.count} of this kind."
        elif notice.digest:
            rows = "\n".join(f"• {escaped(line)}" for line in notice.digest)
            message["text"] = f"*{len(notice.digest)} groups of alerts in a minute*\n{rows}"[:MAX_TEXT]
        elif notice.reference:
            message["text"] = f"{notice.count} alerts so far; latest: {escaped(title_of(alert))}"
        else:
            link = link_of(self._settings.link, alert)
            title = f"*[{SEVERITIES[severity_of(alert)]}] {escaped(title_of(alert))}*"
            details = escaped(details_of(alert))[: MAX_TEXT - 500]
            message["text"] = "\n".join([title, f"```{details}```", *([f"<{link}|Open>"] if link else [])])
        return message


def escaped(text: str) -> str:
    """Text with Slack's three control characters escaped, so that a log line cannot mention a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "'")
