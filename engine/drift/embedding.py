"""Maximum mean discrepancy of the windows' embeddings, by random Fourier features.

Gretton et al., "A kernel two-sample test", 2012; Rahimi and Recht, "Random features for large-scale kernel
machines", 2007. A window's embedding is the mean of its templates' vectors. The features of a Gaussian
kernel turn the discrepancy of two samples into the distance of two means, so each window is looked at once.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array  # type: ignore[import-untyped]

from engine.drift.template_counts import Columns
from models.base import WindowDetector

if TYPE_CHECKING:
    from models.text.embeddings import Embeddings

FEATURES = 64
"""Random features; the kernel is off by about 1 / sqrt(FEATURES) at a single pair, far less in a mean."""

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


class WindowFeatures:
    """Random features of windows, drawn from the seed once the kernel's width is known."""

    def __init__(self, width: float, hidden: int, seed: int = 0) -> None:
        """Draws the features.

        Args:
            width: Of the Gaussian kernel, a distance between embeddings.
            hidden: Size of a template's vector.
            seed: The same gives the same features.
        """
        self.width, self.hidden, self._seed = width, hidden, seed
        rng = np.random.default_rng(seed)
        # Single precision is ample beside 1 / sqrt(FEATURES), and its cosines take a quarter of the time.
        self._directions = (rng.standard_normal((hidden, FEATURES)) / width).astype(np.float32)
        self._phases = rng.uniform(0, 2 * np.pi, FEATURES).astype(np.float32)
        self._projected = np.zeros((0, FEATURES), np.float32)  # a row a column of templates

    def learn(self, vectors: NDArray[np.float32]) -> None:
        """Takes the vectors (n, hidden) of the next n columns."""
        self._projected = np.concatenate([self._projected, vectors @ self._directions])

    @property
    def learnt(self) -> int:
        """Columns known so far."""
        return len(self._projected)

    def snapshot(self) -> dict[str, Any]:
        """Plain data; the templates' projections are in it, since a model may not know them all after a restart."""
        return {"width": self.width, "hidden": self.hidden, "seed": self._seed, "learnt": self._projected.tobytes()}

    @staticmethod
    def restored(state: dict[str, Any]) -> "WindowFeatures":
        """What `snapshot` was taken of."""
        made = WindowFeatures(state["width"], state["hidden"], state["seed"])
        made._projected = np.frombuffer(state["learnt"], np.float32).reshape(-1, FEATURES)
        return made

    def mean(self, columns: Columns, lengths: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
        """float64 (groups, FEATURES): mean features of windows that come in equal groups.

        Args:
            columns: Columns of all windows' lines, one window after the other.
            lengths: Lines of each window, none of them 0; as many windows in every group.
            groups: How many groups.
        """
        ends = np.concatenate([[0], np.cumsum(lengths)])
        weights = np.repeat((1 / lengths).astype(np.float32), lengths)
        projected = csr_array((weights, columns, ends), shape=(len(lengths), self.learnt)) @ self._projected
        projected += self._phases
        features = np.cos(projected, out=projected)
        found: NDArray[np.float64] = features.reshape(groups, -1, FEATURES).mean(1, dtype=np.float64)
        found *= np.sqrt(2 / FEATURES)
        return found


def kernel_width(embeddings: NDArray[np.float32]) -> float:
    """The median distance of windows (n, hidden) that differ: the usual choice; 1 where all are the same."""
    squares = (embeddings**2).sum(1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * embeddings @ embeddings.T, 0))
    apart = distances[distances > 1e-4]
    return float(np.median(apart)) if len(apart) else 1.0


def embed(vectors: NDArray[np.float32], columns: Sequence[Columns]) -> NDArray[np.float32]:
    """float32 (n, hidden): the embedding of each window, given its columns; `vectors` has a row a column."""
    return np.stack([vectors[row].mean(0) for row in columns])


def squared_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…,): squared distance of mean features (…, FEATURES): the discrepancy."""
    found: NDArray[np.float64] = ((a - b) ** 2).sum(-1)
    return found
