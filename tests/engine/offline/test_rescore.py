"""Stored windows as another version judges them."""

import numpy as np

from engine.offline.rescore import label_use, lost_kinds, lost_templates
from federation.storage.answers import OperatorLabel
from federation.storage.learning import Purpose
from models.base import Windows

WINDOWS = Windows.of([[1, 2], [1, 3], [3, 1], [1, 2], [4], []])


def flags(*indexes):
    return np.isin(np.arange(len(WINDOWS)), indexes)


def test_a_session_is_anomalous_if_one_of_its_windows_is():
    labels = [OperatorLabel(key, anomalous, 0, Purpose.TRAIN)
              for key, anomalous in ((b"a", True), (b"b", True), (b"c", False), (b"d", True))]  # fmt: skip
    scores = np.array([0.1, 0.5, 0.2, 0.6], np.float32)
    found = label_use([b"a", b"a", b"b", b"c"], scores, 0.5, labels)
    assert (found.labels, found.agrees, found.purposes) == (3, 1, {Purpose.TRAIN: 3})
    assert label_use([], np.zeros(0, np.float32), 0.5, labels).labels == 0


def test_windows_that_became_normal_are_grouped_by_their_templates():
    kinds = lost_kinds(WINDOWS, flags(0, 1, 2, 3, 4, 5), flags(3))
    assert [(kind.window, kind.windows.tolist()) for kind in kinds] == [(2, [1, 2]), (4, [4]), (0, [0])]
    assert lost_kinds(WINDOWS, flags(3), flags(3, 4)) == []


def test_templates_are_lost_if_all_their_windows_were_flagged_and_none_is_now():
    assert lost_templates(WINDOWS, flags(0, 1, 2, 4), flags(0)) == {3: 2, 4: 1}
    assert lost_templates(WINDOWS, flags(1), flags()) == {}
    assert lost_templates(WINDOWS, flags(), flags()) == {}
