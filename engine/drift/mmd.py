"""Maximum mean discrepancy of the windows' embeddings, by random Fourier features.

Gretton et al., "A kernel two-sample test", 2012; Rahimi and Recht, "Random features for large-scale kernel
machines", 2007. A window's embedding is the mean of its templates' vectors. The features of a Gaussian
kernel turn the discrepancy of two samples into the distance of two means, so each window is looked at once.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.drift.base import Floats, Setup, Watches, rolling
from engine.drift.blocks import Blocks
from engine.drift.template_counts import Columns
from engine.drift.warmed_up import WarmedUp

FEATURES = 64
"""Random features; the kernel is off by about 1 / sqrt(FEATURES) at a single pair, far less in a mean."""

_WIDTH_WINDOWS = 400
"""Windows whose distances decide the width of the kernel."""


class Mmd(WarmedUp):
    """The squared discrepancy; always 0 for a model without an encoder."""

    name = "mmd"
    watches: ClassVar[Watches] = "embeddings"
    floor = 0.06
    reach = 2.0
    kept = ("lines", "lengths", "usual", "recent")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._encode = setup.encode
        self.lines = np.zeros(0, np.int16)  # columns of the sampled windows of the reference, until used
        self.lengths = np.zeros(0, np.int64)  # their lines
        self.usual: Floats = np.zeros(0)
        self.recent: Floats = np.zeros((0, 0))  # (c, FEATURES): means of the latest blocks
        self._features: WindowFeatures | None = None

    def update(self, blocks: Blocks) -> Floats:
        """See `Statistic.update`; at no cost for a model without an encoder."""
        if self._features is None and self.progress.ready and self._cusum is not None:
            return np.zeros(len(blocks))
        return super().update(blocks)

    def learn(self, blocks: Blocks) -> None:
        """See `WarmedUp.learn`."""
        lines, lengths = blocks.lines_of(blocks.sampled())
        self.lines, self.lengths = np.concatenate([self.lines, lines]), np.concatenate([self.lengths, lengths])

    def complete(self, blocks: Blocks) -> Floats:
        """See `WarmedUp.complete`."""
        found = np.zeros(len(self.times))
        table = self._encode(0, blocks.counts.shape[1])
        if table.shape[1]:
            rows = np.split(self.lines, np.cumsum(self.lengths)[:-1])
            spread = np.linspace(0, len(rows) - 1, min(_WIDTH_WINDOWS, len(rows))).astype(np.int64)
            self._features = WindowFeatures(kernel_width(embed(table, [rows[i] for i in spread])), table.shape[1])
            self._features.learn(table)
            means = self._features.mean(self.lines, self.lengths, len(found))
            self.usual, self.recent = means.mean(0), means[-self.settings.current_blocks :]
            others = (means.sum(0) - means) / (len(means) - 1)
            found = squared_distance(means, others)
        self.lines, self.lengths = self.lines[:0], self.lengths[:0]
        return found

    def compare(self, blocks: Blocks) -> tuple[Floats, Floats]:
        """See `WarmedUp.compare`."""
        if self._features is None:
            return np.zeros(len(blocks)), np.zeros(len(blocks))
        columns = blocks.counts.shape[1]
        if self._features.learnt < columns:
            self._features.learn(self._encode(self._features.learnt, columns))
        means = self._features.mean(*blocks.lines_of(blocks.sampled()), len(blocks))
        keep = self.settings.current_blocks
        recent = np.concatenate([self.recent, means])
        self.recent = recent[-keep:]
        alone = squared_distance(means, self.usual)
        return squared_distance(rolling(recent, keep) / keep, self.usual), np.round(alone, 9)

    def state(self) -> dict[str, Any]:
        """See `Statistic.state`."""
        return {**super().state(), "features": None if self._features is None else self._features.snapshot()}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Statistic.restore`."""
        super().restore(state)
        found = state["features"]
        self._features = None if found is None else WindowFeatures.restored(found)


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
        # Single precision is ample next to 1 / sqrt(FEATURES), and its cosines take a quarter of the time.
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
        """Plain data; the templates' projections are in it, since a model may not have them all after a restart."""
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
        from scipy.sparse import csr_array  # type: ignore[import-untyped]

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
