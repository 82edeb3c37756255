"""Detection on files, without a dataflow: training, evaluating and scoring with the engine's own steps."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.offline import trained_lines
from engine.offline.datasets import LabelledWindows, load_windows, split_by_time
from engine.offline.inputs import DatasetError, LogSpec
from engine.offline.session_gap import session_pauses
from engine.parsing.parse_settings import ParseSettings
from engine.settings import load
from engine.steps.preprocessing import described
from engine.steps.window import SessionWindows, WindowSettings, with_trained_gap
from foundation.settings_errors import InvalidSettingsError, models_in, tag_of, unknown, validated
from models.base import ModelSettingsError, Progress
from models.detectors.registry import UNTRAINED, build
from models.detectors.rules import THRESHOLD
from models.storage.store import Card, ModelStore, Stored
from models.text.embeddings import embedding_cache
from models.thresholds.base import Threshold
from models.train_detector import Trained, TrainSettings, train
from models.training.metrics import evaluate
from models.training.scoring import WindowScorer

Facts = Mapping[str, int | float | str]
"""Entries of `data` on a card."""

NO_FACTS: Facts = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How lines become windows; the same for training and for the engine that uses the model."""

    parse: ParseSettings
    window: WindowSettings


def learnable(data: LabelledWindows) -> LabelledWindows:
    """What a detector can learn from: growth steps of anomalous sessions are left out.

    A session's label marks the whole session as anomalous, not the line. A cut that ends before it
    looks normal, and calling it anomalous would teach the detector to call normal beginnings so.
    """
    return data.take(np.flatnonzero(data.windows.closed | ~data.labels))


def train_on_log(
    spec: LogSpec, preprocessing: Preprocessing, settings: TrainSettings, store: ModelStore, name: str,
    *, first: float = 1.0, device: str = "auto", progress: Progress | None = None, facts: Facts = NO_FACTS,
) -> tuple[Trained, LabelledWindows]:  # fmt: skip
    """Trains on the first share of a log's sessions by time and publishes the result.

    Args:
        spec: The log and its labels.
        preprocessing: How lines become windows.
        settings: What is trained.
        store: Where it is published.
        name: Under which name.
        first: Share of the sessions, 0..1, in the order of their first line.
        device: See `models.detectors.registry.build`.
        progress: See `models.base.Progress`.
        facts: More about the data, for the card.

    Returns:
        The trained detector with its card's content, and the windows it was given.

    Raises:
        DataError: the log or its labels cannot be used.
        ModelError: training or publishing failed.
    """
    # Asked of the detector itself, so that a log without the labels it needs is refused by name.
    supervised = build(settings.detector, settings.settings, device=device, cache=embedding_cache()).supervised
    spec = replace(spec, supervised=supervised)
    data = load_windows(spec, preprocessing.parse, preprocessing.window)
    if first < 1:
        data, _ = split_by_time(data, first)
        _both_classes(data, spec, f"the first {first:.0%} of the sessions of")
    data = learnable(data)
    labelled = spec.labels is not None or bool(data.labels.any())
    if not any(data.keys):
        settings = settings.model_copy(update={"blocks": True})  # neighbouring windows of one log are alike
    trained = train(
        data.windows, data.labels if labelled else None, data.templates, settings,
        store=store, name=name, source=spec.title, device=device, cache=embedding_cache(), progress=progress,
        preprocessing=described(preprocessing.parse, preprocessing.window),
        facts=gap_facts(preprocessing.window) | trained_lines.facts_of(spec, data) | dict(facts),
    )  # fmt: skip
    return trained, data


def gap_facts(window: WindowSettings) -> dict[str, int | float | str]:
    """The session gap, for the card; nothing for other kinds of windows."""
    return {"gap_s": window.gap_s} if isinstance(window, SessionWindows) else {}


def as_trained(preprocessing: Preprocessing, card: Card) -> Preprocessing:
    """The preprocessing with the session gap that a model was trained with, unless a gap is set."""
    return replace(preprocessing, window=with_trained_gap(preprocessing.window, card.gap_s))


def derive_gap(spec: LogSpec, preprocessing: Preprocessing, *, fixed: bool) -> tuple[Preprocessing, str]:
    """The preprocessing with a session gap derived from the log, unless a gap is set or the gap is `fixed`.

    Returns:
        The preprocessing, and a sentence about the pauses and the gap; "" for other kinds of windows.

    Raises:
        DataError: the log cannot be read.
    """
    window = preprocessing.window
    if not isinstance(window, SessionWindows):
        return preprocessing, ""
    pauses = session_pauses(spec, preprocessing.parse)
    derived = pauses.gap_s()
    if fixed or "gap_s" in window.model_fields_set:
        advice = "" if derived is None else f" (the log suggests {derived:g})"
        return preprocessing, f"{pauses.report()}; gap_s = {window.gap_s:g} is set{advice}"
    if derived is None:
        return preprocessing, f"{pauses.report()}; too few to derive a gap, so gap_s = {window.gap_s:g}"
    chosen = replace(preprocessing, window=window.model_copy(update={"gap_s": derived}))
    return chosen, f"{pauses.report()}; gap_s = {derived:g} was derived from them and is on the card of the model"


@dataclass(frozen=True, slots=True)
class Units:
    """What is judged: sessions, or windows where lines have no session key.

    Attributes:
        keys: Session key of each (n entries), "" if absent.
        scores: float32 (n,): the highest score of its windows.
        labels: bool (n,): True = anomalous.
        time_ns: int64 (n,): event time of the last line of the first window with that score.
        lines: int64 (n,): lines of its longest window.
    """

    keys: tuple[str, ...]
    scores: NDArray[np.float32]
    labels: NDArray[np.bool_]
    time_ns: NDArray[np.int64]
    lines: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ScoredLog:
    """A log's windows with their scores, and the version that gave them."""

    data: LabelledWindows
    scores: NDArray[np.float32]
    model: str
    card: Card

    @property
    def version(self) -> int:
        """In the model store."""
        return self.card.version

    @property
    def threshold(self) -> float:
        """A score at or above it is anomalous."""
        return self.card.threshold.value

    def units(self) -> "Units":
        """See `units_of`."""
        return units_of(self.data, self.scores)

    def by_session(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Highest score and label of each session; windows without a key represent themselves."""
        units = self.units()
        return units.scores, units.labels

    def figures(self) -> dict[str, Any]:
        """Counts of units and `models.training.metrics.evaluate`, by session if there are sessions."""
        scores, labels = self.by_session()
        return {"units": len(labels), "anomalous": int(labels.sum()), **evaluate(scores, labels, self.threshold)}


def units_of(data: LabelledWindows, scores: NDArray[np.float32]) -> Units:
    """One row per session, from the scores of all windows; windows without a key represent themselves."""
    if not any(data.keys):
        return Units(data.keys, scores, data.labels, data.last_ns, data.windows.lengths())
    keys, session = np.unique(np.array(data.keys), return_inverse=True)
    # Sorted by session, then by score: the last of each session is its highest, the earliest among equals.
    order = np.lexsort((-np.arange(len(session)), scores, session))
    top = order[np.append(np.flatnonzero(np.diff(session[order])), len(order) - 1)]
    labels = np.zeros(len(keys), bool)
    np.logical_or.at(labels, session, data.labels)
    lines = np.zeros(len(keys), np.int64)
    np.maximum.at(lines, session, data.windows.lengths())
    return Units(tuple(keys.tolist()), scores[top], labels, data.last_ns[top], lines)


def untrained(name: str) -> Stored:
    """A detector that needs no training, with a made-up card of version 0.

    Raises:
        ModelSettingsError: there is no such detector.
    """
    if name not in UNTRAINED:
        known = ", ".join(UNTRAINED)
        raise ModelSettingsError(f"detector '{name}' cannot score without a model; {known} can")
    card = Card(
        name=name, version=0, parent=None, created_at=datetime.fromtimestamp(0, UTC), detector=name, settings={},
        extra={}, weights_sha256="", threshold=Threshold(rule="fixed", value=THRESHOLD),
    )  # fmt: skip
    return Stored(build(name), card)


def load_units(
    spec: LogSpec, preprocessing: Preprocessing, *, after: float = 0.0, keep_cut: bool = False
) -> LabelledWindows:  # fmt: skip
    """Read the windows of the sessions of a log that follow its first share `after` (0..1) by time.

    Sessions that the end of a file cuts off are left out unless `keep_cut`: judged as a whole, a session without
    its end looks anomalous. If no session is complete, all are kept.

    Raises:
        DataError: the log or its labels cannot be used, or one class is missing where both are needed.
    """
    data = load_windows(spec, preprocessing.parse, preprocessing.window)
    if not keep_cut and data.cut.any() and not data.cut.all():
        data = data.take(np.flatnonzero(~data.cut))
        _both_classes(data, spec, "the complete sessions of")
    if after > 0:
        _, data = split_by_time(data, after)
        _both_classes(data, spec, f"the sessions after the first {after:.0%} of")
    return data


def _both_classes(data: LabelledWindows, spec: LogSpec, which: str) -> None:
    """Refuses a part of a log that lacks a class where both are needed."""
    if not len(data):
        raise DatasetError(f"{which} {spec} are empty; use a larger part")
    if spec.supervised and (data.labels.all() or not data.labels.any()):
        found = "anomalous" if data.labels.all() else "normal"
        raise DatasetError(f"{which} {spec} are all {found}; sessions of both classes are needed")


def score_windows(
    data: LabelledWindows, stored: Stored, progress: Callable[[int, int], None] | None = None
) -> ScoredLog:
    """Scores windows with a version read from the store; `progress` is called with (windows scored, all)."""
    scorer = WindowScorer(stored.detector, stored.card.version, stored.card.threshold.value)
    scorer.learn_templates(data.templates)
    scores = np.concatenate([scorer.score(data.windows.take(part)) for part in _parts(len(data), progress)])
    return ScoredLog(data, scores, stored.card.name, stored.card)


def _parts(count: int, progress: Callable[[int, int], None] | None, size: int = 8192) -> Iterator[NDArray[np.int64]]:
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))
        if progress is not None:
            progress(min(start + size, count), count)


def default_preprocessing(format: str, kind: str, settings: dict[str, Any]) -> Preprocessing:
    """Preprocessing without a region's file: a log format, a kind of window, and the window's settings.

    Raises:
        InvalidSettingsError: the format, the kind of window or a setting is unknown, or a value cannot be used.
    """
    kinds = {tag[1]: model for model in models_in(WindowSettings) if (tag := tag_of(model))}
    if kind not in kinds:
        raise InvalidSettingsError(unknown("kind of window", kind, kinds))
    window: Any = validated(kinds[kind], settings, f"settings of the {kind} window")
    return Preprocessing(validated(ParseSettings, {"format": format}, ""), window)


def region_preprocessing(path: Path) -> tuple[Preprocessing, str, str, str]:
    """Preprocessing, store, model name and device from a region's file.

    Raises:
        SettingsFileError: see `engine.settings.load`.
    """
    settings = load(path)
    return (
        Preprocessing(settings.parse, settings.window),
        settings.scoring.store,
        settings.scoring.name,
        settings.scoring.device,
    )
