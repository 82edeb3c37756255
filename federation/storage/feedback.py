"""An operator's answer to an alert as a label in the region's training store."""

from collections.abc import Callable, Mapping
from typing import Any

from federation.storage.answers import AnswerStore
from federation.storage.labels import read_label
from federation.storage.training_store import TrainingSettings


def store_feedback(
    settings: TrainingSettings, alert: Mapping[str, Any], *, anomalous: bool, now_ns: Callable[[], int]
) -> bool:
    """Store whether the session of an alert was anomalous; a later answer replaces an earlier one.

    Args:
        settings: Of the training store.
        alert: The alert's document. Without a session, the label is for its window alone.
        anomalous: The answer.
        now_ns: Wall clock, the time of the label.

    Returns:
        Whether a window of it is in the store; a label without a window waits for one.

    Raises:
        StorageError: the store cannot be opened or written.
    """
    key = {"session": alert["session"]} if alert.get("session") else {"alert": alert["id"]}
    label = read_label({**key, "anomalous": anomalous}, "feedback", now_ns())
    with AnswerStore(settings.path, settings, now_ns=now_ns) as store:
        store.label([label])
        return store.holds(next(iter(key.values())))
