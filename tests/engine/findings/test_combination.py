"""The strength of a finding from several signals."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.findings.base import Signal
from engine.findings.grouping import Grouping, combined
from engine.findings.templates import TemplateTable


def signal(detector: str, *, key: int = 0, surprise: float = 20.0) -> Signal:
    return Signal(detector, "more", key, surprise, 50.0, 1.0, 50, 100, 150, 0, 10**9)


strengths = st.lists(
    st.tuples(st.floats(-3, 12), st.sampled_from(["novelty", "rates", "values", "nodes"])), min_size=1, max_size=12
)


@given(strengths)
def test_the_combination_lies_between_the_strongest_and_a_bonus_for_each_detector(given_):
    pairs = [(strength, signal(detector)) for strength, detector in given_]
    highest, detectors = max(s for s, _ in pairs), {detector for _, detector in given_}
    assert highest <= combined(pairs) <= highest + math.log10(len(detectors)) + 1e-9


@given(strengths, st.floats(-3, 12))
def test_further_evidence_never_weakens(given_, more):
    pairs = [(strength, signal(detector)) for strength, detector in given_]
    assert combined([*pairs, (more, signal("levels"))]) > combined(pairs)


def test_repeated_signals_of_one_detector_add_nothing():
    assert combined([(2.0, signal("rates", key=key)) for key in range(5)]) == 2.0


def test_a_finding_with_two_kinds_of_evidence_ranks_above_either_alone():
    def strength(*signals: Signal) -> float:
        grouping = Grouping()
        grouping.add(signals, TemplateTable(), block_lines=25, row=200)
        (finding,) = grouping.findings
        return finding.strength

    table_free = [signal("rates", key=-1), signal("nodes", key=-2)]
    alone = [strength(one) for one in table_free]
    assert strength(*table_free) == pytest.approx(max(alone) + math.log10(2), abs=1e-9)
