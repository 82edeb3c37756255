import pytest

from bench.scenarios.templates import grouping
from engine.formats.loghub import FORMAT_OF
from engine.formats.registry import FORMATS


@pytest.mark.parametrize(
    ("found", "truth", "accuracy", "f1"),
    [
        ([1, 1, 2], ["a", "a", "b"], 1.0, 1.0),
        ([1, 1, 1], ["a", "a", "b"], 0.0, 0.0),
        ([1, 2, 3], ["a", "a", "b"], 1 / 3, 0.4),
        ([1, 1, 2, 2], ["a", "a", "b", "c"], 0.5, 0.4),
    ],
)
def test_a_line_counts_where_its_whole_group_is_right(found, truth, accuracy, f1):
    assert grouping(found, truth) == pytest.approx((accuracy, f1))


def test_every_system_has_a_format():
    assert set(FORMAT_OF.values()) <= set(FORMATS)
    assert len(FORMAT_OF) == 16
