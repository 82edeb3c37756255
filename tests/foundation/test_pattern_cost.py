import re

import pytest

from foundation import pattern_cost
from foundation.pattern_cost import cost, slow_patterns

LINEAR = [
    r"password=\S+", r"\b[0-9a-f]{32}\b", r"user \w+", r"(?P<key>blk_-?[0-9]+)", r"[0-9]{1,20}\.[0-9]{1,20}", "secret",
    r"\bmid=(\S+)\b",
]  # fmt: skip
QUADRATIC = [r"[a-z]+@[a-z]+", r"[0-9]+\.[0-9]+", r"\d+-\d+x", r"\s+$"]
EXPONENTIAL = [r"(a+)+$", r"(\w+\s?)*!!", r"(0|0)*b"]


@pytest.mark.parametrize("pattern", LINEAR)
def test_linear_patterns_pass(pattern):
    assert cost(pattern) == ""


@pytest.mark.parametrize("pattern", QUADRATIC)
def test_quadratic_patterns_are_found(pattern):
    assert re.match(r"takes [\d,]+ ms on [\d,]+ characters that repeat '", cost(pattern))


def test_each_slow_pattern_is_named():
    assert slow_patterns([]) == {}
    assert list(slow_patterns([LINEAR[0], QUADRATIC[0], LINEAR[1]])) == [QUADRATIC[0]]


@pytest.mark.parametrize("pattern", EXPONENTIAL)
def test_a_pattern_that_takes_for_ever_is_ended(pattern, monkeypatch):
    monkeypatch.setattr(pattern_cost, "LIMIT_S", 1)
    assert slow_patterns([LINEAR[0], pattern]) == {pattern: "takes more than 1 s"}


def test_patterns_that_nothing_tried_are_not_linear(monkeypatch):
    monkeypatch.setattr(pattern_cost.sys, "executable", "/bin/false")
    with pytest.raises(ChildProcessError, match="cannot be tried: their process ended with status 1"):
        slow_patterns(LINEAR)
