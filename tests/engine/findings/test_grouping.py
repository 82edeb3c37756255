"""Which signals are one finding, and when there is enough for one."""

import math

import numpy as np
import pytest

from engine.findings.base import Signal
from engine.findings.checks import SomeTemplates
from engine.findings.grouping import OPENS, Grouping, severity_of


def signal(detector, kind, key, strength, *, first=100, last=120, count=20):
    """A signal on a template of severity 1, far above what is usual, so that its strength is that of its chance."""
    surprise = math.log(150) + strength * math.log(10)
    note = {"status": ""} if kind == "level" else {}
    return Signal(
        detector, kind, key, surprise, float(count), 0.01, count, first, last, first, last, level=4, note=note
    )  # fmt: skip


def grouped(*blocks):
    grouping = Grouping()
    for row, signals in blocks:
        grouping.add(signals, SomeTemplates(), block_lines=25, row=row)
    return grouping.findings


def rate(strength, **rows):
    return signal("rates", "more", 3, strength, **rows)


def level(strength, **rows):
    return signal("levels", "level", -5, strength, **rows)


class Requests(SomeTemplates):
    """Failed requests, of which all or only the first template has a bad status."""

    def __init__(self, *, all_fail: bool) -> None:
        super().__init__()
        self._all = all_fail

    def status(self, keys):
        """See `engine.findings.base.TemplateLookup`."""
        return np.where(self._all | (keys == 0), 5, 0)

    def severity(self, key):
        """See `engine.findings.base.TemplateLookup`."""
        return 3.0


@pytest.mark.parametrize(("all_fail", "count", "alone"), [(True, 1, True), (True, 2, False), (False, 1, False)])
def test_a_single_request_that_fails_as_others_did_is_weaker_evidence(all_fail, count, alone):
    new = signal("novelty", "new", 0, 0.0, count=count)
    assert severity_of(new, Requests(all_fail=all_fail)) == pytest.approx(3.0 * 0.75 * (0.6 if alone else 1.0))


def test_two_detectors_open_a_finding_that_neither_opens_alone():
    weak = OPENS - 0.15
    assert grouped((124, [rate(weak)])) == grouped((124, [level(weak)])) == []
    (finding,) = grouped((124, [rate(weak), level(weak)]))
    assert finding.strength == pytest.approx(weak + math.log10(2))


def test_two_signals_of_one_detector_do_not():
    assert grouped((124, [rate(OPENS - 0.15), signal("rates", "more", 4, OPENS - 0.15)])) == []


def test_signals_far_apart_do_not():
    assert grouped((224, [rate(OPENS - 0.15), level(OPENS - 0.15, first=200, last=210)])) == []


@pytest.mark.parametrize("strengths", [(2.0, 3.0), (3.0, 2.0)])
def test_more_lines_of_a_level_belong_to_the_templates_of_their_time(strengths):
    late = level(strengths[1], first=20, last=180)
    (finding,) = grouped((124, [rate(strengths[0])]), (180, [late]))
    assert {s.kind for _, s in finding.by_strength} == {"more", "level"}
    (finding,) = grouped((124, [late]), (180, [rate(strengths[0])]))
    assert {s.kind for _, s in finding.by_strength} == {"more", "level"}


def test_a_level_long_after_a_finding_is_another():
    assert len(grouped((124, [rate(2.0)]), (900, [level(2.0, first=880, last=890)]))) == 2


def test_a_template_that_was_born_in_a_finding_stays_new():
    born = signal("novelty", "new", 3, 3.0, count=2, last=110)
    (finding,) = grouped((124, [born]), (149, [rate(4.0, last=145)]))
    ((strength, shown),) = finding.by_strength
    assert (shown.kind, shown.count, shown.first, shown.last) == ("new", 20, 100, 145)
    assert strength > 3.0
