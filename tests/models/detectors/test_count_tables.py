import numpy as np
import pytest

from models.base import Windows, template_id
from models.detectors.count_tables import CountTables
from models.detectors.event_counts import EventCounts, EventCountsSettings
from models.detectors.federated import Part

TEXTS = {template_id(t): t for t in ("open <*>", "read <*>", "close <*>")}
OPEN, READ, CLOSE = TEXTS
WHOLE, CUT = [OPEN, READ, READ, CLOSE], [OPEN, READ]


def part(rows: list[list[int]], labels: list[bool], *, assumed: bool) -> Part:
    arrays = CountTables().collect(Windows.of(rows), np.array(labels), np.full(len(rows), assumed), TEXTS)
    return Part(arrays, float(len(rows)))


def merged(*parts: Part) -> EventCounts:
    detector = EventCounts(EventCountsSettings())
    detector.fit(Windows.of([WHOLE, [OPEN, READ, CLOSE]] * 20), None, TEXTS)
    CountTables().merge(detector, parts, seed=0)
    detector.learn_templates(TEXTS)
    return detector


def test_windows_that_another_region_labels_as_anomalous_are_not_assumed_to_be_normal() -> None:
    """A broken-off session has no template of its own, so only equal counts give it away."""
    labelled = part([WHOLE] * 60 + [CUT] * 3, [False] * 60 + [True] * 3, assumed=False)
    unlabelled = part([WHOLE] * 60 + [CUT] * 9, [False] * 69, assumed=True)
    both = merged(labelled, unlabelled).score(Windows.of([CUT, WHOLE]))
    assert both[0] > both[1]
    assert both[0] == pytest.approx(merged(labelled).score(Windows.of([CUT]))[0], abs=0.02)


def test_windows_that_are_mostly_labelled_as_normal_stay_normal() -> None:
    labelled = part([WHOLE] * 60 + [CUT] * 12, [False] * 71 + [True], assumed=False)
    unlabelled = part([WHOLE] * 60 + [CUT] * 9, [False] * 69, assumed=True)
    scores = merged(labelled, unlabelled).score(Windows.of([CUT, WHOLE]))
    assert scores[0] <= scores[1] + 0.05
