import numpy as np

from bench.data.detection_data import Labelled
from bench.harness import Run, find_scenario
from bench.scenarios import foreign
from bench.scenarios.foreign import HEADS, detect_foreign, prior_scores
from engine.formats.base import LEVEL_NAMES
from models.base import Windows, template_id

FINE, FAILED, TICK = (template_id(text) for text in ("service started", "write failed: disk full", "tick <NUM>"))
TEXTS = {FINE: "service started", FAILED: "write failed: disk full", TICK: "tick <NUM>"}


def data() -> Labelled:
    rows = [[FINE], [FINE, TICK], [FINE, FAILED], [TICK]] * 10
    return Labelled(Windows.of(rows), np.arange(40) % 4 == 2, TEXTS, np.zeros(40, np.int64))


def test_the_prior_ranks_a_window_by_the_level_and_the_words_of_its_worst_line():
    by_words = prior_scores(data(), {})[:4]
    assert by_words.argmax() == 2
    by_level = prior_scores(data(), {TICK: LEVEL_NAMES.index("fatal")})[:4]
    assert by_level[3] == by_level[1] > by_level[0]


def test_every_detector_is_scored_on_every_other_set(monkeypatch):
    monkeypatch.setattr(foreign, "SETS", {"one": data, "two": data})
    outcome = detect_foreign(Run(overrides={"windows": "30"}))
    expected = {f"{name}.{way}.roc_auc" for name in HEADS for way in ("one_to_two", "two_to_one")}
    assert set(outcome.metrics) == expected | {"prior.one.roc_auc", "prior.two.roc_auc"}
    assert outcome.metrics["prior.one.roc_auc"] == 1
    assert all(0 <= value <= 1 for value in outcome.metrics.values())
    assert set(find_scenario("detect-foreign").targets) == {
        f"prior.{name}.roc_auc" for name in foreign.LOGS.keys() | {"iotdb"}
    }
