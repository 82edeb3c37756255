import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.formats.timestamps import BadTimeError, TimeRules

SECOND = 10**9


def ns(*parts: int) -> int:
    return int(dt.datetime(*parts, tzinfo=dt.UTC).timestamp()) * SECOND


NOW = ns(2024, 3, 1, 12)
ZONES = [None, ZoneInfo("Europe/Berlin"), ZoneInfo("America/St_Johns"), ZoneInfo("Asia/Kolkata")]


def agree(rules: TimeRules, rows: list[dict[str, int]], read_ns: int) -> None:
    """Wherever the columns are sure they give what one line gives; a bad line is never sure."""
    columns = {name: np.array([row[name] for row in rows], np.int64) for name in rows[0]}
    if "fraction" in columns:
        columns["fraction_digits"] = np.array([len(str(row["fraction"])) for row in rows], np.int64)
    times, ok = rules.of_columns(dict(columns), read_ns)
    for row, time, sure in zip(rows, times.tolist(), ok.tolist(), strict=True):
        groups = {name: str(value).encode() for name, value in row.items()}
        try:
            want = rules.of_groups(groups, read_ns)
        except BadTimeError:
            assert not sure
        else:
            assert not sure or time == want


def fields(**ranges: tuple[int, int]) -> st.SearchStrategy[list[dict[str, int]]]:
    row = st.fixed_dictionaries({name: st.integers(*span) for name, span in ranges.items()})
    return st.lists(row, min_size=1, max_size=12)


CLOCK = {"hour": (0, 25), "minute": (0, 61), "second": (0, 61), "fraction": (0, 999_999_999)}


@given(fields(year=(0, 9999), month=(0, 13), day=(0, 32), **CLOCK), st.sampled_from(ZONES))
def test_full_dates(rows: list[dict[str, int]], zone: ZoneInfo | None) -> None:
    agree(TimeRules(zone, ns(1990, 1, 1)), rows, NOW)


@given(fields(year=(2020, 2023), month=(1, 12), day=(1, 28), hour=(0, 23), minute=(0, 59), second=(0, 59)))
def test_dates_in_range_are_always_sure(rows: list[dict[str, int]]) -> None:
    columns = {name: np.array([row[name] for row in rows], np.int64) for name in rows[0]}
    times, ok = TimeRules(ZONES[1]).of_columns(columns, NOW)
    assert ok.all()
    for row, time in zip(rows, times.tolist(), strict=True):
        assert time == int(dt.datetime(**row, tzinfo=ZONES[1]).timestamp()) * SECOND


@given(fields(month=(0, 13), day=(0, 32), hour=(0, 24), minute=(0, 60), second=(0, 60)), st.sampled_from(ZONES))
@pytest.mark.parametrize("now", [NOW, ns(2023, 1, 1), ns(2023, 12, 31, 23, 59, 59), ns(2024, 2, 29, 1)])
def test_dates_without_year(now: int, rows: list[dict[str, int]], zone: ZoneInfo | None) -> None:
    agree(TimeRules(zone, ns(1990, 1, 1)), rows, now)


@given(fields(epoch_s=(0, 10**10 - 1), fraction=(0, 999_999)))
def test_epochs(rows: list[dict[str, int]]) -> None:
    agree(TimeRules(None, ns(1990, 1, 1)), rows, NOW)


def of(rules: TimeRules, text: str, read_ns: int) -> int:
    names = ("month", "day", "hour", "minute", "second")
    return rules.of_groups(dict(zip(names, map(str.encode, text.split()), strict=True)), read_ns)


def test_december_read_in_january_is_of_the_year_before() -> None:
    rules = TimeRules()
    assert of(rules, "12 31 23 59 59", ns(2024, 1, 1, 0, 0, 5)) == ns(2023, 12, 31, 23, 59, 59)
    assert of(rules, "1 1 0 0 3", ns(2023, 12, 31, 23, 59, 59)) == ns(2024, 1, 1, 0, 0, 3)
    assert of(rules, "2 29 0 0 0", ns(2023, 6, 1)) == ns(2020, 2, 29)


def test_two_digit_years_and_reasons() -> None:
    rules = TimeRules(None, ns(1990, 1, 1))
    assert rules.of_groups({"yymmdd": b"081109", "hhmmss": b"203615"}, NOW) == ns(2008, 11, 9, 20, 36, 15)
    for day, reason in ((b"991332", "no date 1999-13-32"), (b"700101", "before 1990-01-01"), (b"690101", "after it")):
        with pytest.raises(BadTimeError, match=reason):
            rules.of_groups({"yymmdd": day, "hhmmss": b"000000"}, NOW)
    with pytest.raises(BadTimeError, match="no time of day 24:00:00"):
        rules.of_groups({"yymmdd": b"081109", "hhmmss": b"240000"}, NOW)
