import logging
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation import bounded_pattern
from foundation.bounded_pattern import BoundedPattern, UserPatternError

SLOW = {
    r"(a|aa)+b": "a" * 2_000,
    r"(?:x+x+)+y": "x" * 5_000,
    r"\s+$": " " * 60_000 + "x",
    r"^(([a-z])+.)+[A-Z]([a-z])+$": "a" * 10_000,
}
"""Patterns, each with a text that takes `re` from a minute to centuries."""

USUAL = [
    r"[0-9]+",
    r"user \w+",
    r"(?i)TOKEN=\S+",
    r"\b[0-9a-f]{2,}\b",
    r"(?<=id=)\d+",
    r"^$|a*",
    r"(?P<key>blk_-?[0-9]+)",
    r"a{e}|b{s<=1}|[{i}]+|\{d}|[0-9]{,2}",
    r"\N{LATIN SMALL LETTER A}{2}",
]


@pytest.mark.parametrize("pattern", SLOW)
def test_no_text_takes_longer_than_its_bound(pattern, monkeypatch, caplog):
    monkeypatch.setattr(bounded_pattern, "LEAST_S", 0.01)
    monkeypatch.setattr(bounded_pattern, "BYTE_S", 0.0)
    bounded, text = BoundedPattern(pattern), SLOW[pattern]
    started = time.process_time()
    with caplog.at_level(logging.WARNING):
        assert bounded.search(text) is None
        assert bounded.spans(text) == []
        assert bounded.replaced(text, "<X>") is None
    assert time.process_time() - started < 3 * 1.0  # a search looks at the clock only now and then
    assert bounded.overran == 3
    assert len(caplog.records) == 1  # at powers of ten
    assert repr(pattern) in caplog.text
    as_bytes = BoundedPattern(pattern.encode())
    assert as_bytes.search(text.encode()) is None


@given(st.text(alphabet="aAbf019=iduser-_\n TOKENblk.{}", max_size=60), st.sampled_from(USUAL))
def test_matches_are_those_of_re(text, pattern):
    bounded, compiled = BoundedPattern(pattern), re.compile(pattern)
    found, expected = bounded.search(text), compiled.search(text)
    assert (found and found.span()) == (expected and expected.span())
    assert bounded.spans(text) == [match.span() for match in compiled.finditer(text)]
    assert bounded.replaced(text, r"<\1>") == compiled.sub(lambda _: r"<\1>", text)
    if r"\N" not in pattern:
        assert BoundedPattern(pattern.encode()).spans(text.encode()) == bounded.spans(text)


def test_long_texts_have_longer():
    text = "a" * 2_000_000 + "1"
    assert BoundedPattern("[0-9]").spans(text) == [(2_000_000, 2_000_001)]


@pytest.mark.parametrize("pattern", ["(", "[", "a{2,1}", b"(?P<key>"])
def test_what_is_not_a_pattern_is_refused_in_a_sentence(pattern):
    with pytest.raises(UserPatternError, match="is not a regular expression: "):
        BoundedPattern(pattern)
