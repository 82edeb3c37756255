"""Peer: river's half-space trees on the counts of templates in blocks of 20 lines.

Half-space trees (Tan, Ting and Liu 2011, https://www.ijcai.org/Proceedings/11/Papers/254.pdf) are the usual
streaming detector for vectors. Their threshold is a high quantile of the scores of the past.
"""

import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from river.anomaly import HalfSpaceTrees
from river.compose import Pipeline
from river.preprocessing import MinMaxScaler

from bench.incidents.base import DetectorAlert
from bench.incidents.peer_script import LineTemplates

BLOCK = 20
QUANTILE = 0.995
NEW = "new"
Vector = dict[str, float]


@dataclass(frozen=True, slots=True)
class HalfSpace:
    """Half-space trees behind a scaler, as river recommends; only the window differs, as a short past must fill it."""

    seed: int = 0

    def learn(self, past: Sequence[str]) -> "HalfSpaceWatch":
        """Grow the trees on the blocks of the past."""
        templates = LineTemplates(masked=True)
        blocks = list(_blocks(past, templates))
        known = sorted(set().union(*blocks))
        window = max(min(250, len(blocks) // 4), 5)
        trees = MinMaxScaler() | HalfSpaceTrees(window_size=window, seed=self.seed)
        scores = []
        for block in blocks:
            vector = _vector(block, known)
            scores.append(trees.score_one(vector))
            trees.learn_one(vector)
        # Before the first window is full every score is 0, which says nothing.
        threshold = float(np.quantile(scores[window:], QUANTILE))
        return HalfSpaceWatch(pickle.dumps(trees), templates, tuple(known), threshold)


@dataclass(frozen=True, slots=True)
class HalfSpaceWatch:
    """Trees as pickled bytes, so that every case starts from the same ones."""

    trees: bytes
    templates: LineTemplates
    known: tuple[str, ...]
    threshold: float

    def watch(self, now: Sequence[str]) -> list[DetectorAlert]:
        """Score every block, then learn it."""
        trees: Pipeline = pickle.loads(self.trees)
        alerts = []
        for number, block in enumerate(_blocks(now, self.templates.fork())):
            vector = _vector(block, self.known)
            score = trees.score_one(vector)
            trees.learn_one(vector)
            if score > self.threshold:
                rows = range(number * BLOCK, min((number + 1) * BLOCK, len(now)))
                alerts.append(
                    DetectorAlert(rows, rows[-1], score, "", f"score {score:.3f}, usually below {self.threshold:.3f}")
                )
        return alerts


def _blocks(lines: Sequence[str], templates: LineTemplates) -> Iterator[Counter[str]]:
    for start in range(0, len(lines), BLOCK):
        yield Counter(str(templates.of(line)) for line in lines[start : start + BLOCK])


def _vector(block: Counter[str], known: Sequence[str]) -> Vector:
    """Shares of the block, one for every template of the past and one for all others."""
    vector: Vector = {template: block[template] / BLOCK for template in known}
    vector[NEW] = 1.0 - sum(vector.values()) if len(block) else 0.0
    return vector


HALF_SPACE_TREES = HalfSpace()
