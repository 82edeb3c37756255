"""How an alert document reads: title, severity and details, for services made for people.

Documents from before these fields existed, and drift events, have neither summary nor severity; what
they do have is used in their place.
"""

from collections.abc import Mapping
from typing import Any

from foundation.documents.alert import SEVERITIES
from foundation.time_text import NS_PER_S, iso_seconds

_UNGRADED = SEVERITIES.index("medium")

MAX_TITLE = 200
"""Characters of a title; PagerDuty cuts at 1,024, a mail subject is unreadable long before."""

MAX_LINE = 500
"""Characters quoted of a line or another text of the alert."""

MAX_LINES = 10
"""Raw lines quoted in a message; the alert document holds them all."""


def severity_of(alert: Mapping[str, Any]) -> int:
    """Index into `SEVERITIES`; medium where the alert does not grade itself."""
    severity = alert.get("severity")
    return SEVERITIES.index(severity) if severity in SEVERITIES else _UNGRADED


def title_of(alert: Mapping[str, Any]) -> str:
    """One line that names the finding."""
    summary = alert.get("summary") or _summary(alert)
    text = " ".join(str(summary).split())
    return text if len(text) <= MAX_TITLE else text[: MAX_TITLE - 1] + "…"


def details_of(alert: Mapping[str, Any]) -> str:
    """Several lines: where, since when, why, and the lines themselves."""
    rows = [
        f"region: {alert.get('region', '')}",
        f"source: {alert.get('source', '')}",
        f"session: {alert['session']}" if alert.get("session") else "",
        f"time: {_seconds(alert.get('first_time', ''))} to {_seconds(alert.get('last_time', ''))}",
        f"place: {alert['first_place']}" if alert.get("first_place") else "",
    ]
    rows += [f"why: {reason_text(reason)}" for reason in alert.get("reasons") or ()]
    rows += [f"| {line}" for line in (alert.get("lines") or ())[-MAX_LINES:]]
    return "\n".join(row if len(row) <= MAX_LINE else row[: MAX_LINE - 1] + "…" for row in rows if row)


def _seconds(time: str) -> str:
    """An RFC 3339 time in UTC without the fraction of its seconds."""
    return f"{time[:19]}Z" if time[19:20] == "." else time


def cause_of(alert: Mapping[str, Any]) -> str:
    """Text of the template that caused an alert; "" where the alert does not name one."""
    for reason in alert.get("reasons") or ():
        if reason.get("template"):
            return str(reason["template"])
    lines = (alert.get("explanation") or {}).get("lines") or ()
    if lines:
        return str(lines[0]["text"])
    return str((alert.get("classification") or {}).get("text", ""))


def second_text(time_s: float) -> str:
    """RFC 3339 of seconds since 1970, as services want it."""
    return iso_seconds(int(time_s) * NS_PER_S)


def reason_text(reason: Mapping[str, Any]) -> str:
    """A reason as one phrase: its sentence, or its numbers in alerts of older versions, which have none."""
    template = str(reason.get("template", ""))
    if sentence := str(reason.get("sentence", "")):
        return sentence if not template or template in sentence else f"{template}: {sentence}"
    parts = [str(reason.get("kind", "")), template]
    if reason.get("observed") is not None:
        usual = "" if reason.get("usual") is None else f", usually {_number(reason['usual'])}"
        parts.append(f"{_number(reason['observed'])}{usual}")
    return ": ".join(part for part in parts if part)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def _summary(alert: Mapping[str, Any]) -> str:
    templates = alert.get("templates") or ()
    named = templates[-1]["text"] if templates else alert.get("type", "anomaly")
    return f"{alert.get('region', '')}: unusual lines in {alert.get('source', '')}: {named}"
