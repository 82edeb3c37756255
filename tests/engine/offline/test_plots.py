import io

import numpy as np
import pytest
from PIL import Image

from engine.offline import plots


@pytest.fixture
def pair(judged, evaluation):
    rng = np.random.default_rng(0)
    labels = (rng.random(500) < 0.1).tolist()
    scores = np.clip(rng.normal(0.2, 0.1, 500) + 0.6 * np.array(labels), 0, 1).tolist()
    return evaluation(judged(scores, labels), judged(scores[::-1], labels, name="other"))


def picture(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_every_plot_shows_something_and_equal_figures_give_equal_bytes(pair):
    drawn = plots.all_plots(pair)
    assert set(drawn) == {"confusion_matrix.png", "roc.png", "precision_recall.png", "scores.png", "timeline.png"}
    for name, content in drawn.items():
        pixels = picture(content)
        assert min(pixels.shape[:2]) > 300, name
        assert (pixels < 250).mean() > 0.01, name
    assert drawn == plots.all_plots(pair)


@pytest.mark.parametrize("threshold", [0.0, 1e9])
def test_any_threshold_and_a_single_moment_can_be_drawn(judged, evaluation, threshold):
    found = judged([0.5, 0.5, 0.5], [True, False, False], threshold=threshold)
    found.units.time_ns[:] = 1_226_263_530_000_000_000
    assert len(plots.all_plots(evaluation(found))) == 5


def test_the_timeline_keeps_what_tells_something_when_it_thins_out(judged, monkeypatch):
    monkeypatch.setattr(plots, "MAX_POINTS", 20)
    found = judged([0.9 if i % 25 == 0 else 0.1 for i in range(200)], [i % 50 == 0 for i in range(200)])
    shown = plots._thinned(found)
    assert len(shown) == 20
    assert set(np.flatnonzero(found.called | found.units.labels)) <= set(shown)


def test_curves_are_drawn_where_there_are_epochs():
    history = [{"loss": 2.0 / (i + 1), "val_loss": 1.0, "val_f1": i / 10} for i in range(8)]
    assert (picture(plots.curves(history, 7, "m v1")) < 250).mean() > 0.01
    assert plots.curves([{"loss": 0.0}, {"loss": 0.0}], 0, "m v1") is not None
    assert plots.curves([], 0, "m v1") is None
    assert plots.curves(history[:1], 0, "m v1") is None
