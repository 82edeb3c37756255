"""The candidates of a detector with an output for every template, as arrays that grow.

Of each candidate the weights hold the id of its template, which is a hash of the text, a vector and a bias
(`models.detectors.next_template`). In training the vector is that of the text. A candidate that is added without its
text gets one drawn from its id, so every region adds the same one without the text: drawn
vectors are nearly orthogonal, and what the network makes of each is learnt.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def has_candidates(weights: Mapping[str, NDArray[Any]]) -> bool:
    """Whether these are weights of a detector with an output for every template."""
    return "vectors" in weights


def grown(
    weights: Mapping[str, NDArray[Any]], kept: NDArray[np.bool_], ids: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """The weights with some of their candidates, in their order, and others behind them; nothing else changes.

    Args:
        weights: Of a `CandidateDetector` with V candidates.
        kept: bool (V,): which of these stay.
        ids: int64 (n,): template ids that are not candidates yet. Each starts as unlikely as the least
            likely candidate.
    """
    bias, shift, scale = weights["bias"], weights["shift"], weights["scale"]
    drawn = [np.random.default_rng(seed).standard_normal(len(shift)) for seed in ids.view(np.uint64).tolist()]
    vectors = np.reshape(drawn, (len(ids), len(shift))) / scale + shift
    added = np.full(len(ids), bias[:-1].min(), bias.dtype)
    return {
        **weights,
        "vocabulary": np.concatenate([weights["vocabulary"][kept], ids]),
        "vectors": np.concatenate([weights["vectors"][kept], vectors.astype(np.float32)]),
        "bias": np.concatenate([bias[:-1][kept], added, bias[-1:]]),  # the last one is the end's
    }
