import numpy as np
import pytest

from bench.data.detection_data import Labelled, _event, deeplog_split
from bench.harness import BenchError, Run, SettingError, find_scenario
from bench.scenarios import detection
from bench.scenarios.detection import SUPERVISED, VARIANTS, DetectorTally, detect_bgl_lines, detect_hdfs_deeplog
from models.detectors.checks import make_workload
from models.detectors.registry import DETECTORS
from models.training.metrics import Confusion

EVENTS = {
    "E1": "<*>Deleting block<*>file<*>",
    "E2": "<*>Received block<*>of size<*>from<*>",
    "E3": "<*>Received block<*>",
}


def test_every_detector_is_in_every_comparison() -> None:
    assert {v["detector"] for v in VARIANTS.values()} == set(DETECTORS)
    assert set(SUPERVISED) < set(VARIANTS)
    for name in ("detect-hdfs-8020", "detect-hdfs-chrono", "detect-bgl-lines", "detect-iotdb"):
        assert set(find_scenario(name).detectors) == set(DETECTORS)


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("Deleting block <BLK> file /mnt/<BLK>", "E1"),
        ("Received block <BLK> of size <NUM> from <IP>", "E2"),
        ("Received block <BLK>", "E3"),
    ],
)
def test_a_template_belongs_to_the_event_with_most_words(text: str, event: str) -> None:
    assert _event(text, EVENTS) == event


def test_a_template_of_no_event_is_refused() -> None:
    with pytest.raises(BenchError, match="no event"):
        _event("rack <*> lost power", EVENTS)


def test_figures_are_means_over_the_trials() -> None:
    counted = [Confusion(1, 0, 0, 1), Confusion(1, 1, 1, 1)]
    tally = DetectorTally(counted, [1.0, 0.6], [0.5, 0.7], [0.9, 0.7], [1.0, 3.0], [0.5, 0.5], [300.0, 200.0])
    figures = tally.figures()
    assert (figures["f1_best"], figures["roc_auc"], figures["peak_rss_mib"]) == (0.8, 0.8, 300.0)
    assert (figures["f1"], figures["f1_min"], figures["f1_std"], figures["train_s"]) == (0.75, 0.5, 0.25, 2.0)


def test_unknown_detectors_are_refused() -> None:
    with pytest.raises(SettingError, match="oracle is not among"):
        detect_hdfs_deeplog(Run(overrides={"detectors": "oracle,deeplog"}))


def test_missing_data_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRIFTLINE_DATA_DIR", raising=False)
    deeplog_split.cache_clear()
    with pytest.raises(BenchError, match="needs hdfs/HDFS_templates"):
        deeplog_split()


def test_splits_by_template_share_no_template(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_workload(count=120)
    data = Labelled(made.windows, made.labels, made.templates, np.arange(120) % 12)
    monkeypatch.setattr(detection, "bgl_lines", lambda: data)
    outcome = detect_bgl_lines(Run(overrides={"detectors": "event_counts,event_counts_logistic", "seeds": "2"}))
    for name in ("event_counts", "event_counts_logistic"):
        assert 0 <= outcome.metrics[f"{name}.f1"] <= 1
        assert 0 <= outcome.metrics[f"{name}.new_templates.f1"] <= 1
        assert outcome.metrics[f"{name}.train_s"] > 0
        assert 30 < outcome.metrics[f"{name}.peak_rss_mib"] < 100_000
        assert outcome.metrics[f"{name}.f1"] <= outcome.metrics[f"{name}.f1_best"]
    peer = outcome.peers["every_window"]
    assert peer["recall"] == 1
    assert peer["precision"] == pytest.approx(1 / 6, abs=0.1)
