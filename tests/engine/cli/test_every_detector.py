from pathlib import Path

import pytest

from engine.offline import plots
from models.detectors.registry import DETECTORS
from tests.engine.cli.conftest import labelled_log

NETWORK = ["--set", "encoder=hashing:32", "--set", 'training={"epochs":2}']


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    log, labels = labelled_log(Path(tmp_path_factory.mktemp("small")), 2000, 0.2)
    return ["--data", log, "--labels", labels]


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots have tests of their own, and would take more time than the rest."""
    monkeypatch.setattr(plots, "_png", lambda figure, axes=None, legend=None: b"")


@pytest.mark.parametrize("name", DETECTORS)
def test_trains_takes_a_new_threshold_and_is_judged(driftline, data, tmp_path, name):
    own = [] if name == "event_counts" else NETWORK
    common = ["--store", tmp_path / "store"]
    trained = driftline("train", name, *data, *common, "--runs", tmp_path / "runs", *own, "--json")
    assert trained.code == 0, trained.err
    fitted = driftline("models", "recalibrate", name, *data, *common, "--threshold", "stddev", "--json")
    assert fitted.code == 0, fitted.err
    assert fitted.json()["detector"] == name
    judged = driftline(
        "evaluate", *data, *common, "--model", name, "--against", f"{name}:1", "--out", tmp_path / "out", "--json"
    )
    assert judged.code == 0, judged.err
    assert judged.json()["threshold_rule"] == "stddev"
    assert list(judged.json()["compared"]) == [f"{name} v1"]
