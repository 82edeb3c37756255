import math

import numpy as np
import pytest

from models.base import Windows, template_id
from models.detectors.rules import THRESHOLD, RuleScores

TEXTS = ("user <*> logged in", "disk <*> is slow", "connection to <*> failed", "Out of memory: Killed process <NUM>")
FINE, SLOW, FAILED, DEAD = (template_id(text) for text in TEXTS)


@pytest.fixture
def detector():
    detector = RuleScores()
    detector.learn_templates({template_id(text): text for text in TEXTS})
    return detector


def test_windows_are_ordered_by_how_bad_their_worst_line_sounds(detector):
    scores = detector.score(Windows.of([[FINE] * 50, [FINE, SLOW], [FINE, FAILED], [DEAD, FINE]]))
    assert scores.tolist() == pytest.approx([0.0, 0.5, 2.25, 3.5], abs=1e-6)
    assert (scores >= THRESHOLD).tolist() == [False, False, True, True]


def test_more_lines_of_a_kind_score_higher_without_end(detector):
    scores = detector.score(Windows.of([[FAILED] * count for count in (1, 10, 10_000)]))
    assert np.diff(scores).tolist() == pytest.approx([math.log(10) / 2, math.log(1000) / 2], abs=0.01)


def test_a_failed_request_is_judged_by_its_status_and_not_by_its_path():
    texts = ('"GET /errors/failed <*>" <SUCCESS>', '"GET /cart <*>" <UNAVAILABLE>')
    detector = RuleScores()
    detector.learn_templates({template_id(text): text for text in texts})
    fine, failed = detector.score(Windows.of([[template_id(text)] for text in texts]))
    assert failed >= 2.9
    assert fine < failed
