import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.formats import http_status
from engine.formats.digit_invariance import exact_widths, why_not_blind
from engine.formats.registry import FORMATS
from engine.formats.timestamps import DIGIT_GROUPS
from engine.parsing.templates import DEFAULT_MASKS

BLIND = [
    *(mask.pattern for mask in DEFAULT_MASKS),
    r"\d+",
    r"((?<=[^A-Za-z0-9])|^)([\-\+]?\d+)((?=[^A-Za-z0-9])|$)",
    r"(?<![A-Za-z0-9])\d+(?![A-Za-z0-9])",
    r'"[^"]+"',
    r"(?:[a-f0-9]+:){3,}[a-f0-9]+\b",
    r"x.*?;",
    r"[a-z]+",
]
NOT_BLIND = [
    r"0x[0-9a-f]+",
    r"[0-9]{4}",
    r"[1-9][0-9]*",
    r"\w\d+",
    r"\w+\d",
    r"a\d?b",
    r"\d+?",
    r"(?<![A-Za-z])\d+",
    r"\d+(?![A-Za-z])",
    r"(\d+) \1",
    r"[a-z]*",
    r"(?:\d+){3}",
    r"\B-",
    r"x.;",
    r"(?:19|20)\d+",
]


@pytest.mark.parametrize("pattern", BLIND)
def test_accepts_patterns_that_take_digit_runs_whole(pattern: str) -> None:
    assert why_not_blind(pattern) is None


@pytest.mark.parametrize("pattern", NOT_BLIND)
def test_gives_the_reason_for_the_others(pattern: str) -> None:
    assert why_not_blind(pattern)


PIECES = st.lists(
    st.sampled_from([*"0000 abcfxz-:;./\"'", "blk_", "0x", " 0.0.0.0 ", "x;"]), min_size=1, max_size=25
).map("".join)


@pytest.mark.parametrize("pattern", BLIND)
@given(shape=PIECES, data=st.data())
def test_replacing_commutes_with_the_choice_of_digits(pattern: str, shape: str, data: st.DataObject) -> None:
    shape = re.sub("0+", "0", shape)
    digits = st.text("0123456789", min_size=1, max_size=21)
    line = re.sub("0", lambda _: data.draw(digits), shape)
    of_shape = re.sub(pattern, "<M>", shape)
    of_line = re.sub(pattern, "<M>", line)
    assert re.sub("[0-9]+", "0", of_line) == of_shape


@pytest.mark.parametrize("entry", [f for f in FORMATS.values() if f.header], ids=lambda f: f.name)
def test_every_format_reads_its_digits_only_where_it_says_so(entry) -> None:
    counted = {*DIGIT_GROUPS, http_status.GROUP}
    widths = exact_widths(entry.header, frozenset(counted))
    assert set(widths) == counted & set(entry.header.groupindex)
    assert [why_not_blind(p) for rule in entry.sessions.values() for p in rule if why_not_blind(p)] == []


def test_a_header_that_counts_digits_elsewhere_is_refused() -> None:
    with pytest.raises(ValueError, match="counts characters"):
        exact_widths(re.compile(rb"(?P<year>[0-9]{4}) (?P<pid>[0-9]{3}) (?P<message>.*)"), frozenset({"year"}))
