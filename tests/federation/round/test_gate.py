import pytest

from federation.protocol.records import HoldoutFigures
from federation.round.gate import judge, quality
from federation.round.settings import RoundSettings

SETTINGS = RoundSettings.model_validate({})
BAD, GOOD = (50, 30, 50, 870), (95, 5, 5, 895)


def test_better_everywhere_is_accepted() -> None:
    verdict = judge([HoldoutFigures(r, BAD, GOOD) for r in ("eu", "us")], SETTINGS)
    assert verdict.accepted
    assert "0.5556 became 0.9500" in verdict.reason


def test_worse_in_one_region_only_is_refused_by_name() -> None:
    figures = [HoldoutFigures("eu", BAD, GOOD), HoldoutFigures("us", BAD, GOOD), HoldoutFigures("ap", GOOD, BAD)]
    verdict = judge(figures, SETTINGS)
    assert not verdict.accepted
    assert "worse in ap: 0.9500 became 0.5556 by 70 windows" in verdict.reason


def test_a_loss_within_the_margin_is_borne() -> None:
    slightly = (93, 5, 7, 895)
    figures = [HoldoutFigures("eu", BAD, GOOD), HoldoutFigures("us", GOOD, slightly)]
    assert judge(figures, SETTINGS).accepted
    assert not judge(figures, SETTINGS.model_copy(update={"margin_region": 0.001})).accepted


def test_a_single_window_is_chance() -> None:
    before, one, two = (10, 0, 0, 90), (9, 0, 1, 90), (9, 1, 1, 89)
    for after, accepted in ((one, True), (two, False)):
        assert (
            judge([HoldoutFigures("eu", BAD, GOOD), HoldoutFigures("us", before, after)], SETTINGS).accepted == accepted
        )


def test_as_good_is_not_better() -> None:
    assert not judge([HoldoutFigures(r, GOOD, GOOD) for r in ("eu", "us")], SETTINGS).accepted


def test_the_margin_over_all_regions_must_be_exceeded() -> None:
    figures = [HoldoutFigures(r, BAD, GOOD) for r in ("eu", "us")]
    assert not judge(figures, SETTINGS.model_copy(update={"margin_overall": 0.5})).accepted


def test_without_anomalies_fewer_false_alarms_are_better() -> None:
    figures = [HoldoutFigures(r, (0, 40, 0, 60), (0, 1, 0, 99)) for r in ("eu", "us")]
    assert judge(figures, SETTINGS).accepted


def test_too_few_regions_prove_nothing() -> None:
    verdict = judge([HoldoutFigures("eu", BAD, GOOD)], SETTINGS)
    assert not verdict.accepted
    assert "1 regions gave holdout figures, 2 are needed" in verdict.reason


def test_a_region_without_holdout_neither_gains_nor_loses() -> None:
    empty = HoldoutFigures("us", (0, 0, 0, 0), (0, 0, 0, 0))
    assert judge([HoldoutFigures("eu", BAD, GOOD), empty], SETTINGS).accepted


@pytest.mark.parametrize(("cells", "value"), [((0, 0, 0, 0), 1.0), ((0, 1, 0, 3), 0.75), ((1, 1, 1, 9), 0.5)])
def test_quality(cells: tuple[int, int, int, int], value: float) -> None:
    assert quality(cells) == value
