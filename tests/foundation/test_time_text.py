"""Times as text: digits, time zone, limits, and the way back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.time_text import LAST_NS, NS_PER_MS, NS_PER_S, NS_PER_US, iso_millis, iso_seconds, iso_time, parse_time

times_ns = st.integers(0, LAST_NS)


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (2**63 - 1, "2262-04-11T23:47:16.854775807Z"),
        (-(2**63), "1677-09-21T00:12:43.145224192Z"),
    ],
)
def test_all_int64_times_have_a_text(time_ns: int, text: str) -> None:
    assert iso_time(time_ns) == text
    assert iso_millis(time_ns) == text[:23] + "Z"
    assert iso_seconds(time_ns) == text[:19] + "Z"


@given(times_ns)
def test_texts_are_read_back_to_their_last_digit(time_ns: int) -> None:
    assert parse_time(iso_time(time_ns)) == time_ns // NS_PER_US * NS_PER_US
    assert parse_time(iso_millis(time_ns)) == time_ns // NS_PER_MS * NS_PER_MS
    assert parse_time(iso_seconds(time_ns)) == time_ns // NS_PER_S * NS_PER_S


@given(times_ns, times_ns)
def test_texts_sort_like_times(one: int, other: int) -> None:
    assert (iso_time(one) < iso_time(other)) == (one < other)


def test_other_time_zones_are_converted() -> None:
    assert iso_seconds(parse_time("2026-01-31T14:00:00+02:00")) == "2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("yesterday", "is not an RFC 3339 time"),
        ("", "is not an RFC 3339 time"),
        ("2026-01-31T12:00:00", "has no time zone"),
        ("1969-12-31T23:59:59Z", "is before 1970"),
        ("9999-01-31T12:00:00Z", "is before 1970 or after 2115"),
        ("0001-01-01T00:00:00+14:00", "is before 1970"),
    ],
)
def test_what_is_not_a_usable_time_is_named(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_time(text)
