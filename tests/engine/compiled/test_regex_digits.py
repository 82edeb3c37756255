import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.compiled.regex_digits import why_digits_matter
from engine.compiled.regex_program import ProgramTable
from engine.compiled.regex_syntax import PatternError, parse
from engine.formats.base import Format, headed
from engine.formats.masks import DEFAULT_MASKS
from engine.formats.registry import FORMATS
from engine.parsing.format_tables import FormatTables

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
    r"[a-z]*",
    r"(?:\d+){3}",
    r"x.;",
    r"(?:19|20)\d+",
]


@pytest.mark.parametrize("pattern", BLIND)
def test_accepts_patterns_that_take_digit_runs_whole(pattern: str) -> None:
    assert why_digits_matter(parse(pattern.encode(), text=True)) is None


@pytest.mark.parametrize("pattern", NOT_BLIND)
def test_gives_the_reason_for_the_others(pattern: str) -> None:
    assert why_digits_matter(parse(pattern.encode(), text=True))


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


@pytest.mark.parametrize("pattern", [r"(\d+) \1", r"\B-", r"(?<=ab)c", "(?i)a", "a{2}{3}", "(a*)*", "é"])
def test_the_error_names_what_is_not_understood(pattern: str) -> None:
    with pytest.raises(PatternError, match=r"understood|repeat"):
        ProgramTable().add(parse(pattern.encode(), text=True), {})


@pytest.mark.parametrize("entry", FORMATS.values(), ids=lambda f: f.name)
def test_every_format_is_compiled_and_answered_by_skeleton(entry: Format) -> None:
    for session in entry.sessions.values():
        tables = FormatTables([entry], [session], [entry.masks + DEFAULT_MASKS], [[0]])
        assert tables.why_slow is None


def test_a_header_that_counts_digits_elsewhere_is_refused() -> None:
    header = headed(rb"(?P<year>[0-9]{4}) (?P<pid>[0-9]{3}) (?P<message>.*)")
    with pytest.raises(PatternError, match=r"format x depends on digits: it counts characters"):
        FormatTables([Format("x", "", (), header)], [()], [()], [[0]])
