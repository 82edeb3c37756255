"""A new threshold for a stored version, without training it again."""

from collections.abc import Callable
from dataclasses import replace

from engine.offline.datasets import load_windows
from engine.offline.detect import Preprocessing, learnable, score_windows
from engine.offline.inputs import LogSpec
from models.storage.store import Card, ModelStore, Notes
from models.text.embeddings import embedding_cache
from models.thresholds.registry import LABELLED, fit_threshold
from models.training.metrics import evaluate


def recalibrate(
    spec: LogSpec, preprocessing: Preprocessing, store: ModelStore, name: str, version: int | None = None,
    *, rule: str | None = None, settings: dict[str, float] | None = None, device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
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

    Raises:
        DataError: the log or its labels cannot be used.
        ModelError: the version cannot be loaded, the threshold not fitted, or the store not written.
    """
    stored = store.load(name, version, device=device, cache=embedding_cache())
    fitted = stored.card.threshold
    chosen = rule or fitted.rule
    options = settings if settings or rule else fitted.settings
    data = learnable(
        load_windows(replace(spec, supervised=chosen in LABELLED), preprocessing.parse, preprocessing.window)
    )
    scored = score_windows(data, stored, progress)
    labels = data.labels if data.labels.any() else None
    threshold = fit_threshold(chosen, scored.scores, labels, options, highest=stored.detector.highest_score)
    metrics, known = dict(stored.card.metrics), stored.card.labelled_anomalies
    if labels is not None:
        known = {**known, "labels": max(known.get("labels", 0), int(labels.sum()))}
    if labels is not None and not labels.all():
        metrics["recalibration"] = evaluate(scored.scores, labels, threshold.value)
    notes = Notes(**stored.card.model_dump(include=set(Notes.model_fields))).model_copy(
        update={
            "threshold": threshold,
            "metrics": metrics,
            "labels": known,
            "data": {
                **stored.card.data, "recalibrated_on": spec.title, "recalibrated_from": stored.card.version,
            },
        }
    )  # fmt: skip
    return store.card(name, store.publish(name, stored.detector, notes))
