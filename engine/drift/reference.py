"""The reference: what the first blocks after a model went into service say, and the thresholds that follow."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.drift.blocks import SAMPLE_SHARE, Blocks
from engine.drift.distribution import jensen_shannon, only_here, psi
from engine.drift.embedding import Vectors, WindowFeatures, embed, kernel_width, squared_distance
from engine.drift.scores import AlarmMargin, Floats, ScoreBins
from engine.drift.settings import DriftSettings
from engine.drift.template_counts import Columns, Counts, TemplateColumns, widened

_DRAWS = 200
"""Times that some blocks of the reference are held against the rest of it, to see what chance does."""

_WIDTH_WINDOWS = 400
"""Windows whose distances decide the width of the kernel."""


@dataclass(slots=True)
class WarmUp:
    """The blocks of a reference that is not complete yet."""

    counts: list[NDArray[np.int64]] = field(default_factory=list)
    scores: list[NDArray[np.float32]] = field(default_factory=list)
    lines: list[Columns] = field(default_factory=list)
    """Columns of each sampled window."""

    def add(self, blocks: Blocks, columns: int) -> None:
        """Takes blocks over."""
        self.counts.extend(blocks.counts(columns))
        self.scores.extend(blocks.scores)
        found, lengths = blocks.lines_of(blocks.sampled())
        self.lines.extend(np.split(found, np.cumsum(lengths)[:-1]))

    def __len__(self) -> int:
        return len(self.scores)

    def snapshot(self) -> dict[str, Any]:
        """Plain data."""
        return {name: [part.tobytes() for part in getattr(self, name)] for name in ("counts", "scores", "lines")}

    @staticmethod
    def restored(state: dict[str, Any]) -> "WarmUp":
        """What `snapshot` was taken of."""
        kinds = {"counts": np.int64, "scores": np.float32, "lines": np.int16}
        return WarmUp(**{name: [np.frombuffer(part, kind) for part in state[name]] for name, kind in kinds.items()})


@dataclass(frozen=True, slots=True)
class Reference:
    """What the current blocks are compared with.

    Attributes:
        windows: How many it is made of.
        counts: int64 (k,): how many of them hold each of its k templates.
        thresholds: By detector.
        margin: The scale of the scores.
        mean_margin: Mean of the blocks on that scale.
        unit: Range of the blocks' means by chance: twelve standard deviations.
        bins: Of the scores.
        sample: float32 (n,): some of the scores, as they came.
        features: Of windows; None where templates have no vectors.
        mean_features: float64 (FEATURES,).
    """

    windows: int
    counts: Counts
    thresholds: dict[str, float]
    margin: AlarmMargin
    mean_margin: float
    unit: float
    bins: ScoreBins
    sample: NDArray[np.float32]
    features: WindowFeatures | None
    mean_features: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recent:
    """The last blocks as the rolling statistics need them, oldest first.

    Attributes:
        counts: int64 (c, k).
        novelty: float64 (c,): share of windows with a template that the reference does not hold.
        scores: int64 (c, bins): scores of the sampled windows.
        features: float64 (c, FEATURES): mean features of the sampled windows.
    """

    counts: Counts
    novelty: NDArray[np.float64]
    scores: Counts
    features: NDArray[np.float64]


def complete(
    warm: WarmUp, settings: DriftSettings, columns: TemplateColumns, vectors: Vectors | None, threshold: float
) -> tuple[Reference, Recent, list[float]]:
    """The reference of a complete warm-up, its last blocks as the first that are compared with it, and all means."""
    counts = np.concatenate([widened(row[None], len(columns)) for row in warm.counts])
    scores = np.stack(warm.scores)
    usual = scores.ravel()
    margin = AlarmMargin(float(np.median(usual)), threshold, float(usual.std()))
    means = margin.of(scores).mean(1)
    features, by_block = _features(warm, columns, vectors, len(scores))
    bins = ScoreBins.of(usual)
    sample = np.ascontiguousarray(scores[:, ::SAMPLE_SHARE]).ravel()
    sampled = bins.counts(scores[:, ::SAMPLE_SHARE])
    thresholds = {
        name: max(getattr(settings, name), *(_bound(seen, settings.chance) for seen in by_chance))
        for name, by_chance in _chance(counts, means, by_block, sampled, bins, settings).items()
    }
    unit = max(12 * float(means.std()), settings.adwin)
    last = slice(-settings.current_blocks, None)
    recent = Recent(counts[last], np.zeros(settings.current_blocks), sampled[last], by_block[last])
    made = Reference(
        scores.size, counts.sum(0), thresholds, margin, float(means.mean()), unit, bins, sample, features,
        by_block.mean(0),
    )  # fmt: skip
    return made, recent, means.tolist()


def _chance(
    counts: Counts, means: Floats, features: Floats, sampled: Counts, bins: ScoreBins, settings: DriftSettings
) -> dict[str, list[Floats]]:  # fmt: skip
    """Values of each statistic where nothing has changed: some blocks of the reference against the others."""
    rolling = np.sqrt(settings.current_blocks)
    draws = _draws(len(counts), settings.current_blocks)
    return {
        "novelty": [only_here(counts, settings.block_windows) / rolling],
        "jensen_shannon": [_largest_move(counts, chosen, settings.block_windows) for chosen in draws],
        "psi": [psi(*_apart(counts, chosen)) for chosen in draws],
        "adwin": [np.abs(means - means.mean()) / rolling],
        "kswin": [bins.distance(_apart(sampled, chosen)[1]) for chosen in draws],
        "mmd": [squared_distance(*_mean_apart(features, chosen)) for chosen in draws],
    }


def _bound(seen: NDArray[np.float64], deviations: float) -> float:
    return float(seen.mean() + deviations * seen.std())


def _draws(blocks: int, current: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which blocks are taken for current ones: at random (_DRAWS, blocks), and every run of neighbours.

    Neighbours are alike in a stream that changes slowly by itself, and differ more from the rest.
    """
    order = np.random.default_rng(0).random((_DRAWS, blocks)).argsort(1)
    starts = np.arange(blocks - current + 1)[:, None]
    places = np.arange(blocks)
    runs = (places >= starts) & (places < starts + current)
    return order < current, runs


def _apart(counts: Counts, chosen: NDArray[np.bool_]) -> tuple[Counts, Counts]:
    """(draws, k) twice: windows of the other blocks, and of the chosen."""
    current = chosen.astype(np.int64) @ counts
    return counts.sum(0) - current, current


def _largest_move(counts: Counts, chosen: NDArray[np.bool_], block_windows: int) -> Floats:
    others, current = _apart(counts, chosen)
    taken = int(chosen[0].sum()) * block_windows
    found: Floats = jensen_shannon(others / (len(counts) * block_windows - taken), current / taken).max(1)
    return found


def _mean_apart(
    features: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    picked = chosen.astype(np.float64)
    return ((1 - picked) @ features / (1 - picked).sum(1)[:, None], picked @ features / picked.sum(1)[:, None])


def _features(
    warm: WarmUp, columns: TemplateColumns, vectors: Vectors | None, blocks: int
) -> tuple[WindowFeatures | None, NDArray[np.float64]]:
    """The random features of windows, and their mean in each block (b, FEATURES); zeros without vectors."""
    if vectors is None:
        return None, np.zeros((blocks, 1))
    table = vectors(np.array([columns.template(i) for i in range(len(columns))], np.int64))
    if not table.shape[1]:
        return None, np.zeros((blocks, 1))
    spread = np.linspace(0, len(warm.lines) - 1, min(_WIDTH_WINDOWS, len(warm.lines))).astype(np.int64)
    width = kernel_width(embed(table, [warm.lines[i] for i in spread.tolist()]))
    features = WindowFeatures(width, table.shape[1])
    features.learn(table)
    lengths = np.array([len(row) for row in warm.lines], np.int64)
    return features, features.mean(np.concatenate(warm.lines), lengths, blocks)
