"""Times as text: RFC 3339 in UTC, the one form that documents, logs and tables carry."""

from datetime import UTC, datetime
from functools import lru_cache

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000

LAST_NS = (1 << 62) - 1
"""In 2116: what SQLite keeps as whole numbers, with room for sums."""


def iso_time(time_ns: int) -> str:
    """Text of nanoseconds since 1970, with all nine digits of the fraction."""
    seconds, rest = divmod(time_ns, NS_PER_S)
    return f"{_to_second(seconds)}.{rest:09d}Z"


def iso_millis(time_ns: int) -> str:
    """Text of nanoseconds since 1970, with milliseconds; the rest is cut off."""
    seconds, rest = divmod(time_ns, NS_PER_S)
    return f"{_to_second(seconds)}.{rest // NS_PER_MS:03d}Z"


def iso_seconds(time_ns: int) -> str:
    """Text of nanoseconds since 1970, without a fraction; the rest is cut off."""
    return f"{_to_second(time_ns // NS_PER_S)}Z"


def parse_time(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time with a time zone; digits after the microsecond are cut off.

    Raises:
        ValueError: `text` is not such a time, or is outside 1970 to 2115. The message is the end of a sentence
            that begins with the name of the field.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("is not an RFC 3339 time") from error
    if time.tzinfo is None:
        raise ValueError("has no time zone")
    # Whole seconds apart from the fraction: a float of both would round.
    time_ns = int(time.replace(microsecond=0).timestamp()) * NS_PER_S + time.microsecond * NS_PER_US
    if not 0 <= time_ns <= LAST_NS:
        raise ValueError("is before 1970 or after 2115")
    return time_ns


@lru_cache(maxsize=1024)
def _to_second(seconds: int) -> str:
    # Times of neighbouring lines and documents share their seconds.
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
