"""The model store."""

from os import PathLike, fspath
from typing import Any

from driftline._detection import TrainedDetector
from models.storage.store import ModelStore
from models.text.embeddings import embedding_cache


class Store:
    """Versions of named models; see `open_store`."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store

    def __repr__(self) -> str:
        return f"<Store {self._store}: {', '.join(self.names()) or 'empty'}>"

    def names(self) -> list[str]:
        """The names of all models, sorted."""
        return self._store.names()

    def versions(self, name: str) -> list[int]:
        """The versions of a model, ascending."""
        return self._store.versions(name)

    def current(self, name: str) -> int | None:
        """The version that engines follow; None if there is no such model."""
        return self._store.current(name)

    def card(self, name: str, version: int | None = None) -> dict[str, Any]:
        """The card of a version, verified: detector, settings, threshold, figures, data.

        Raises:
            DriftlineError: the version is missing or damaged.
        """
        return self._store.verify(name, version).model_dump(mode="json")

    def load(self, name: str, version: int | None = None, *, device: str = "auto") -> TrainedDetector:
        """A window detector, ready to score.

        Args:
            name: Of the model.
            version: The current one if None.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.

        Raises:
            DriftlineError: the version is missing, damaged, or not of a window detector.
        """
        stored = self._store.load(name, version, device=device, cache=embedding_cache())
        card = stored.card
        return TrainedDetector(stored.detector, card.threshold.value, card.name, card.version, card.metrics)

    def rollback(self, name: str, to: int | None = None) -> int:
        """Points the store back at a version, the previous one if None; returns its number.

        Raises:
            DriftlineError: there is no version to go back to.
        """
        return self._store.rollback(name, to)


def open_store(url: str | PathLike[str] = "models-store") -> Store:
    """Open a model store; it may be empty.

    Args:
        url: Folder, or fsspec URL such as `s3://bucket/models`.

    Example:
        >>> import driftline
        >>> driftline.open_store("memory://example").names()
        []
    """
    return Store(ModelStore(fspath(url)))
