"""The vectors that a model's encoder gave its templates."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.base import WindowDetector

if TYPE_CHECKING:
    from models.text.embeddings import Embeddings

Vectors = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Template ids (n,) → their vectors (n, hidden): zeros for an unknown template; hidden is 0 without an encoder."""


def template_vectors(detector: WindowDetector) -> Vectors:
    """The vectors that the detector's encoder gave its templates."""
    embeddings: Embeddings | None = getattr(detector, "embeddings", None)  # detectors without an encoder have none

    def vectors(ids: NDArray[np.int64]) -> NDArray[np.float32]:
        if embeddings is None:
            return np.zeros((len(ids), 0), np.float32)
        table = embeddings.table
        return table.vectors[table.lookup(ids)]

    return vectors
