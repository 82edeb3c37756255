"""A new threshold for a stored version, without training it again."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.offline.datasets import load_windows
from engine.offline.detect import NO_FACTS, Facts, Preprocessing, learnable, score_windows
from engine.offline.inputs import LogSpec
from models.storage.store import Card, ModelStore, Notes, Stored
from models.text.embeddings import embedding_cache
from models.thresholds.registry import LABELLED, fit_threshold
from models.training.metrics import evaluate


def recalibrate(
    spec: LogSpec, preprocessing: Preprocessing, store: ModelStore, name: str, version: int | None = None,
    *, rule: str | None = None, settings: dict[str, float] | None = None, device: str = "auto",
    progress: Callable[[int, int], None] | None = None, facts: Facts = NO_FACTS,
) -> Card:  # fmt: skip
    """Fits the threshold of a stored version again and publishes it, with the same weights, as a new version.

    Args:
        spec: The log to fit it on; labelled where the rule needs labels. Labelled anomalies are left
            out by the rules for normal scores, and growth steps of anomalous sessions by all.
        preprocessing: How lines become windows.
        store: Where the version is, and where the new one goes.
        name: Of the model.
        version: Which one; the current one if None.
        rule: A name in `models.thresholds.registry.RULES`; the card's own if None.
        settings: The rule's settings; the card's own where neither these nor a rule are given.
        device: See `models.detectors.registry.build`.
        progress: Called with (windows scored, all windows).
        facts: More about the data, for the card.

    Raises:
        DataError: the log or its labels cannot be used.
        ModelError: the version cannot be loaded, the threshold not fitted, or the store not written.
    """
    stored = store.load(name, version, device=device, cache=embedding_cache())
    chosen = rule or stored.card.threshold.rule
    data = learnable(
        load_windows(replace(spec, supervised=chosen in LABELLED), preprocessing.parse, preprocessing.window)
    )
    scored = score_windows(data, stored, progress)
    labels = data.labels if data.labels.any() else None
    known = {} if labels is None else {"labels": int(labels.sum())}
    return refit(
        store, stored, scored.scores, labels, spec.title, known=known, rule=rule, settings=settings, facts=facts
    )


def refit(
    store: ModelStore, stored: Stored, scores: NDArray[np.float32], labels: NDArray[np.bool_] | None, source: str,
    *, known: Mapping[str, int], rule: str | None = None, settings: dict[str, float] | None = None,
    facts: Facts = NO_FACTS,
) -> Card:  # fmt: skip
    """Fits the threshold of a version on the scores it gave, and publishes the result.

    Args:
        store: Where the version is.
        stored: The version.
        scores: float32 (n,): its scores of the windows to fit on.
        labels: bool (n,): True = anomalous; None without labels.
        source: Where the windows came from, for the card.
        known: Labelled anomalies among them, by origin of the label.
        rule: See `recalibrate`.
        settings: See `recalibrate`.
        facts: More about the data, for the card.

    Raises:
        ModelError: the threshold cannot be fitted, or the store not written.
    """
    fitted, name = stored.card.threshold, stored.card.name
    options = settings if settings or rule else fitted.settings
    threshold = fit_threshold(rule or fitted.rule, scores, labels, options, highest=stored.detector.highest_score)
    metrics, before = dict(stored.card.metrics), stored.card.labelled_anomalies
    counts = {origin: max(before.get(origin, 0), known.get(origin, 0)) for origin in {**before, **known}}
    if labels is not None and not labels.all():
        metrics["recalibration"] = evaluate(scores, labels, threshold.value)
    origin = {"recalibrated_on": source, "recalibrated_from": stored.card.version}
    notes = Notes(**stored.card.model_dump(include=set(Notes.model_fields))).model_copy(
        update={
            "threshold": threshold, "thresholds": {}, "metrics": metrics, "labels": counts,
            "data": {**stored.card.data, **origin, **facts},
        }
    )  # fmt: skip
    return store.card(name, store.publish(name, stored.detector, notes))
