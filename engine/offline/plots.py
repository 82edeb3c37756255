"""Plots of a detector's figures, each as the bytes of a PNG.

Figures are drawn without pyplot, so nothing here touches the state of a notebook or needs a display.
Matplotlib is imported when the first plot is drawn.
"""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from engine.offline.evaluate import EvaluatedModel, Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Corner = Literal["best", "lower left", "lower right"]
NORMAL, ANOMALOUS, MARK = "#4477AA", "#CC3311", "#222222"
"""Distinguishable with any colour vision: Paul Tol's bright and vibrant schemes, https://sronpersonalpages.nl/~pault/."""

_OTHERS = ("#EE7733", "#009988", "#AA3377", "#BBBBBB", "#CCBB44", "#66CCEE")
MAX_POINTS = 20_000
"""Points of the timeline at most; more could not be distinguished and would make drawing slow."""


def all_plots(evaluation: Evaluation) -> dict[str, bytes]:
    """Every plot of an evaluation by the name of its file."""
    return {
        "confusion_matrix.png": confusion_matrix(evaluation.main),
        "roc.png": roc(evaluation),
        "precision_recall.png": precision_recall(evaluation),
        "scores.png": score_histogram(evaluation.main, evaluation.unit),
        "timeline.png": timeline(evaluation.main, evaluation.unit),
    }


def confusion_matrix(judged: EvaluatedModel) -> bytes:
    """Counts, and shares of each true class."""
    cells = judged.confusion()
    counts = np.array(
        [[cells.true_negatives, cells.false_positives], [cells.false_negatives, cells.true_positives]]
    )  # (truth, verdict)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axes = _axes(4.6, 4.0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(2):
        for column in range(2):
            colour = "white" if shares[row, column] > 0.55 else MARK
            text = f"{int(counts[row, column]):,}\n{shares[row, column]:.2%}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=13)
    names = ("normal", "anomalous")
    axes.set_xticks((0, 1), names)
    axes.set_yticks((0, 1), names, rotation=90, va="center")
    axes.set(xlabel="called", ylabel="labelled", title=f"{judged.title}: confusion matrix")
    return _png(figure)


def roc(evaluation: Evaluation) -> bytes:
    """True-positive rate over false-positive rate, with the threshold's own point."""
    from sklearn.metrics import roc_curve  # type: ignore[import-untyped]

    figure, axes = _axes()
    axes.plot((0, 1), (0, 1), color="#999999", linewidth=0.8, linestyle=":")
    for judged, colour in _coloured(evaluation):
        false, true, _ = roc_curve(judged.units.labels, judged.units.scores)
        axes.plot(false, true, color=colour, label=f"{judged.title}, area {judged.figures()['roc_auc']:.4f}")
        cells = judged.confusion()
        wrong = cells.false_positives / (cells.false_positives + cells.true_negatives)
        axes.plot(wrong, cells.recall, "o", color=colour)
    axes.set(xlabel="false positives / normal", ylabel="recall", title="ROC; the dot is the threshold")
    return _png(figure, axes, "lower right")


def precision_recall(evaluation: Evaluation) -> bytes:
    """Precision over recall, with the threshold's own point."""
    from sklearn.metrics import precision_recall_curve

    figure, axes = _axes()
    for judged, colour in _coloured(evaluation):
        precision, recall, _ = precision_recall_curve(judged.units.labels, judged.units.scores)
        axes.step(
            recall, precision, where="post", color=colour,
            label=f"{judged.title}, average {judged.figures()['pr_auc']:.4f}",
        )  # fmt: skip
        cells = judged.confusion()
        axes.plot(cells.recall, cells.precision, "o", color=colour)
    axes.set(
        xlabel="recall", ylabel="precision", title="Precision and recall; the dot is the threshold", ylim=(-0.02, 1.05)
    )
    return _png(figure, axes, "lower left")


def score_histogram(judged: EvaluatedModel, unit: str) -> bytes:
    """Scores of both classes on a logarithmic count, with the threshold."""
    units = judged.units
    figure, axes = _axes()
    edges = np.histogram_bin_edges(np.append(units.scores, judged.threshold).astype(np.float64), 60).tolist()
    for label, colour, name in ((False, NORMAL, "normal"), (True, ANOMALOUS, "anomalous")):
        scores = units.scores[units.labels == label]
        axes.hist(scores, edges, color=colour, alpha=0.65, label=f"{name} ({len(scores):,})")
    axes.axvline(judged.threshold, color=MARK, linestyle="--", linewidth=1, label=f"threshold {judged.threshold:.4g}")
    axes.set_yscale("log")
    axes.set(xlabel="score", ylabel=f"{unit}s", title=f"{judged.title}: scores")
    return _png(figure, axes, "best")


def timeline(judged: EvaluatedModel, unit: str) -> bytes:
    """Scores over event time with the threshold, and under it the alerts and how many were right."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    units = judged.units
    times = units.time_ns.astype("datetime64[ns]").astype("datetime64[ms]")
    figure, (axes, below) = _rows(7.6, 4.6)
    shown = _thinned(judged)
    for label, colour, name in ((False, NORMAL, "normal"), (True, ANOMALOUS, "anomalous")):
        at = shown[units.labels[shown] == label]
        axes.plot(times[at], units.scores[at], ".", markersize=3, alpha=0.5, color=colour, label=name)
    axes.axhline(judged.threshold, color=MARK, linestyle="--", linewidth=1, label="threshold")
    title = f"{judged.title}: scores and alerts over time"
    axes.set(ylabel="score", title=title if len(shown) == len(times) else f"{title} ({len(shown):,} {unit}s shown)")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    right, wrong = judged.called & units.labels, judged.called & ~units.labels
    lowest, highest = (t.astype(np.int64) for t in (times.min(), times.max()))
    edges = np.linspace(lowest, max(highest, lowest + 1), 61).astype("datetime64[ms]")
    stacked = [np.histogram(times[part].astype(np.int64), edges.astype(np.int64))[0] for part in (right, wrong)]
    width = np.diff(edges)
    below.bar(edges[:-1], stacked[0], width, align="edge", color=ANOMALOUS, label="right")
    below.bar(edges[:-1], stacked[1], width, stacked[0], align="edge", color="#999999", label="false")
    below.set(ylabel="alerts")
    below.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    dates = AutoDateLocator()  # type: ignore[no-untyped-call]
    below.xaxis.set_major_locator(dates)
    below.xaxis.set_major_formatter(ConciseDateFormatter(dates))  # type: ignore[no-untyped-call]
    return _png(figure)


def curves(history: Sequence[Mapping[str, float]], best_epoch: int, title: str) -> bytes | None:
    """Losses, and F1 if there is one, by epoch, with the epoch that was kept; None without epochs."""
    names = list(dict.fromkeys(name for epoch in history for name in epoch))
    losses = [n for n in names if "loss" in n]
    scores = [n for n in names if "f1" in n]
    if len(history) < 2 or not losses:
        return None
    figure, axes = _axes(7.0, 4.0)
    epochs = np.arange(1, len(history) + 1)
    for name, colour in zip(losses, (NORMAL, "#66CCEE", "#009988"), strict=False):
        axes.plot(epochs, [e.get(name, np.nan) for e in history], color=colour, label=name)
    axes.axvline(best_epoch + 1, color=MARK, linestyle="--", linewidth=1, label=f"kept: epoch {best_epoch + 1}")
    axes.set(xlabel="epoch", ylabel="loss", title=title)
    axes.set_yscale("log" if all(e.get(n, 1.0) > 0 for e in history for n in losses) else "linear")
    if scores:
        right = axes.twinx()
        for name in scores:
            right.plot(epochs, [e.get(name, np.nan) for e in history], color=ANOMALOUS, label=name)
        right.set(ylabel="F1", ylim=(-0.02, 1.05))
    # Outside the axes: curves may run anywhere inside them.
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return _png(figure)


def _thinned(judged: EvaluatedModel) -> NDArray[np.int64]:
    """Which units the timeline shows: every alert and every anomaly, and as many others as there is room for."""
    telling = judged.called | judged.units.labels
    rest = np.flatnonzero(~telling)
    room = max(0, MAX_POINTS - int(telling.sum()))
    if len(rest) > room:
        rest = np.random.default_rng(0).choice(rest, room, replace=False)
    return np.sort(np.concatenate([np.flatnonzero(telling), rest]))


def _coloured(evaluation: Evaluation) -> list[tuple[EvaluatedModel, str]]:
    """The detectors with their colours, the one evaluated last so that it is drawn on top."""
    others = [(judged, _OTHERS[i % len(_OTHERS)]) for i, judged in enumerate(evaluation.others)]
    return [*others, (evaluation.main, NORMAL)]


def _axes(width: float = 6.0, height: float = 4.2) -> "tuple[Figure, Axes]":
    figure = _figure(width, height)
    return figure, _plain(figure.add_subplot())


def _rows(width: float, height: float) -> "tuple[Figure, tuple[Axes, Axes]]":
    figure = _figure(width, height)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    return figure, (_plain(upper), _plain(lower))


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: "Axes") -> "Axes":
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _png(figure: "Figure", axes: "Axes | None" = None, legend: Corner | None = None) -> bytes:
    if axes is not None:
        axes.legend(loc=legend, frameon=False, fontsize=8)
    out = io.BytesIO()
    # Without the software's name and version equal figures give equal bytes.
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
