"""Durations and times as options of commands take them."""

import re
from datetime import UTC, datetime

import typer

from foundation.time_text import NS_PER_S

_UNITS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(rf"(\d+(?:\.\d+)?) ?({'|'.join(_UNITS)})")


def duration_ns(text: str) -> int | None:
    """Nanoseconds of a duration such as `90s`, `15 min`, `36h` or `2d`; None for any other text."""
    found = _DURATION.fullmatch(text)
    return None if found is None else int(float(found[1]) * _UNITS[found[2]] * NS_PER_S)


def since_ns(option: str, text: str, end_ns: int) -> int:
    """The start of what is wanted, in nanoseconds since 1970.

    Args:
        option: Name of the option, for the message.
        text: A duration before `end_ns`, or an ISO 8601 time; one without a zone is in UTC.
        end_ns: Nanoseconds since 1970.

    Raises:
        typer.BadParameter: `text` is neither.
    """
    before = duration_ns(text)
    if before is not None:
        return end_ns - before
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{option} {text}: a time such as 2026-11-29T10:00 or a duration such as 2h is expected"
        ) from error
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()) * NS_PER_S
