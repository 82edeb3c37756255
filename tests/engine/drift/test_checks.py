from dataclasses import replace

import numpy as np
import pytest

from engine.drift.checks import CHECKS, SETTINGS, _setup, _stream, _warm
from engine.drift.labelled import LabelCounts
from engine.drift.registry import STATISTICS, build, statistic_class

LABELS = [name for name in STATISTICS if statistic_class(name).watches == "labels"]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", STATISTICS)
def test_every_statistic_keeps_the_contract(name, check):
    check(name)


@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistic_has_the_name_it_is_registered_under(name):
    assert statistic_class(name).name == name


@pytest.mark.parametrize("name", sorted(set(STATISTICS) - set(LABELS)))
def test_a_change_reaches_the_limit(name):
    statistic, rest = _warm(name, _stream(60, 40))
    values = statistic.update(rest)
    assert values[-1] > statistic.limit
    assert values[: 40 - SETTINGS.warmup_blocks].max() < statistic.limit


def test_a_distance_that_kswin_does_not_confirm_is_not_tested_at_every_block():
    kswin, rest = _warm("kswin", _stream(60, 60))
    kswin.update(rest.part(0, 1))
    kswin.sample, kswin.latest = [0.5] * 90, []
    assert [kswin._add([0.5] * 10, 0.9) for _ in range(30)] == [0.0] * 30
    assert kswin.tests == 10  # a millisecond each: once for each new set of thirty scores


@pytest.mark.parametrize("name", LABELS)
def test_a_statistic_of_labels_counts_labels_and_no_blocks(name):
    statistic = build(name, _setup())
    assert statistic.judge(LabelCounts(right=1, wrong=1, found=4, missed=1)) < statistic.limit
    value = statistic.judge(LabelCounts(right=1, wrong=29, found=4, false=20, missed=6))
    assert value >= statistic.limit
    assert (statistic.update(_stream(12, 12)) == np.full(12, value)).all()
    assert statistic.count() == 30 if name != "corrections" else 26


def test_adwin_finds_scores_that_fall():
    adwin = build("adwin", _setup())
    blocks = _stream(60, 40)
    turned = replace(blocks, scores=1 - blocks.scores)
    assert adwin.update(turned)[-1] > adwin.limit
