"""Times in documents: zones, abbreviations, short offsets, access logs, mail, and numbers of any unit."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.formats.time_values import ZONES, time_ns

NOON = 1_710_072_000 * 10**9  # 2024-03-10 12:00:00 UTC


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-03-10T12:00:00Z", NOON),
        ("2024-03-10 12:00:00.123456789Z", NOON + 123_456_789),
        ("2024-03-10 12:00:00 UTC", NOON),
        ("2024-03-10 13:00:00 CET", NOON),
        ("2024-03-10 07:00:00.250 EST", NOON + 250_000_000),
        ("2024-03-10 17:30:00 IST", NOON),  # several zones have this name: the source's own counts
        ("2024-03-10 17:30:00", NOON),
        ("2024-03-10 15:00:00.5 +03", NOON + 500_000_000),
        ("2024-03-10 15:00:00+0300", NOON),
        ("10/Mar/2024:13:00:00 +0100", NOON),
        ("Sun, 10 Mar 2024 12:00:00 GMT", NOON),
        (1_710_072_000, NOON),
        ("1710072000", NOON),
        ("1710072000.5", NOON + 500_000_000),
        (1_710_072_000_123, NOON + 123_000_000),
        ("soon", None),
        ("2024-03-10T12:00:00 later", None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        (None, None),
        ([], None),
    ],
)
def test_times(value, expected):
    assert time_ns(value, ZoneInfo("Asia/Kolkata")) == expected


@given(st.sampled_from(sorted(ZONES)), st.integers(700_000_000, 4_000_000_000))
def test_an_abbreviation_is_its_offset(name, second):
    written = dt.datetime.fromtimestamp(second, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
    assert time_ns(f"{written} {name}", dt.UTC) == time_ns(f"{written}Z", dt.UTC) - round(ZONES[name] * 3600) * 10**9


@given(st.text())
def test_any_text_is_a_time_or_none(text):
    found = time_ns(text, dt.UTC)
    assert found is None or isinstance(found, int)
