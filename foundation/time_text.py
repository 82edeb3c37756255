"""Times as text: RFC 3339 in UTC, the one form that documents, logs and tables carry."""

from datetime import UTC, datetime

NS_PER_S = 1_000_000_000


def iso_time(time_ns: int) -> str:
    """RFC 3339 in UTC with nanoseconds, of nanoseconds since 1970."""
    seconds, rest = divmod(time_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def iso_seconds(time_s: float) -> str:
    """RFC 3339 in UTC without fractions, of seconds since 1970."""
    return f"{datetime.fromtimestamp(int(time_s), UTC):%Y-%m-%dT%H:%M:%S}Z"
