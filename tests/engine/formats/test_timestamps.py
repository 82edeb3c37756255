import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.compiled import clock
from engine.compiled.clock import UNSURE, VALUES
from engine.compiled.groups import INDEX
from engine.compiled.jit import entry
from engine.formats.timestamps import BadTimeError, TimeRules

SECOND = 10**9
time_of = entry(clock.time_of.py_func)


def ns(*parts: int) -> int:
    return int(dt.datetime(*parts, tzinfo=dt.UTC).timestamp()) * SECOND


NOW = ns(2024, 3, 1, 12)
ZONES = [None, ZoneInfo("Europe/Berlin"), ZoneInfo("America/St_Johns"), ZoneInfo("Asia/Kolkata")]


def compiled(rules: TimeRules, row: dict[str, int], read_ns: int) -> int:
    values = np.full(VALUES, -1)
    for name, value in row.items():
        values[INDEX[name]] = value
    offsets = rules.offsets
    digits = len(str(row.get("fraction", "")))
    return int(time_of(values, digits, rules.limits(read_ns), offsets.quarters, offsets.seconds))


def agree(rules: TimeRules, rows: list[dict[str, int]], read_ns: int) -> None:
    """Compiled code gives what one line gives, or is not sure; it is never sure of a bad line."""
    for row in rows:
        before = compiled(rules, row, read_ns)
        try:
            want = rules.of_groups({name: str(value).encode() for name, value in row.items()}, read_ns)
        except BadTimeError:
            want = UNSURE
        assert before in (want, UNSURE)
        if rules.zone is None or "year" in row:  # the offset of the zone is known now
            assert compiled(rules, row, read_ns) == want


def fields(**ranges: tuple[int, int]) -> st.SearchStrategy[list[dict[str, int]]]:
    row = st.fixed_dictionaries({name: st.integers(*span) for name, span in ranges.items()})
    return st.lists(row, min_size=1, max_size=12)


CLOCK = {"hour": (0, 25), "minute": (0, 61), "second": (0, 61), "fraction": (0, 999_999_999)}


@given(fields(year=(0, 9999), month=(0, 13), day=(0, 32), **CLOCK), st.sampled_from(ZONES))
def test_full_dates(rows: list[dict[str, int]], zone: ZoneInfo | None) -> None:
    agree(TimeRules(zone, ns(1990, 1, 1)), rows, NOW)


@given(fields(month=(0, 13), day=(0, 32), hour=(0, 24), minute=(0, 60), second=(0, 60)), st.sampled_from(ZONES))
@pytest.mark.parametrize("now", [NOW, ns(2023, 1, 1), ns(2023, 12, 31, 23, 59, 59), ns(2024, 2, 29, 1)])
def test_dates_without_year(now: int, rows: list[dict[str, int]], zone: ZoneInfo | None) -> None:
    agree(TimeRules(zone, ns(1990, 1, 1)), rows, now)


@given(fields(epoch_s=(0, 10**10 - 1), fraction=(0, 999_999)))
def test_epochs(rows: list[dict[str, int]]) -> None:
    agree(TimeRules(None, ns(1990, 1, 1)), rows, NOW)


@pytest.mark.parametrize("limits", [(10**12, 10**13 - 1), (10**15, 10**16 - 1), (10**17, 10**18 - 1)])
def test_epochs_in_smaller_units(limits: tuple[int, int]) -> None:
    @given(fields(epoch=limits))
    def check(rows: list[dict[str, int]]) -> None:
        agree(TimeRules(None, ns(1990, 1, 1)), rows, NOW)

    check()


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
