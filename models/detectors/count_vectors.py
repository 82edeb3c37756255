"""Windows as counts of their templates, and how far such counts are from each other.

Shapes: n or b windows, V templates seen in training, R windows that others are compared with.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Windows


def counted(windows: Windows, vocabulary: NDArray[np.int64]) -> NDArray[np.float32]:
    """float32 (n, len(vocabulary) + 1): how often each template occurs; last, all others together."""
    width = len(vocabulary) + 1
    cell = np.repeat(np.arange(len(windows)), windows.lengths()) * width + columns(windows.ids, vocabulary)
    counts = np.bincount(cell, minlength=len(windows) * width).reshape(-1, width)
    return np.asarray(counts, np.float32)


def columns(ids: NDArray[np.int64], vocabulary: NDArray[np.int64]) -> NDArray[np.int64]:
    """Column of each id in `_counts`."""
    at = np.minimum(np.searchsorted(vocabulary, ids), len(vocabulary) - 1)
    return np.where(vocabulary[at] == ids, at, len(vocabulary))


def features_of(counts: NDArray[np.float32], closed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """float32 (n, V + 3): logarithms of the counts and of the length, and whether the window is closed."""
    return np.column_stack([np.log1p(counts), np.log1p(counts.sum(1)), closed]).astype(np.float32)


def steadiness_of(references: NDArray[np.float32], times: NDArray[np.float64]) -> NDArray[np.float32]:
    """float32 (V,): how much a template counts in distances, from the spread of its counts; 1 where they are equal."""
    found = np.ones(references.shape[1], np.float32)
    for column in range(references.shape[1]):
        _, kind = np.unique(references[:, column], return_inverse=True)
        share = np.bincount(kind, weights=times) / times.sum()
        found[column] = np.exp2((share * np.log2(share)).sum())
    return found


def distances(
    weights: Mapping[str, NDArray[Any]], counts: NDArray[np.float32], closed: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distances to all references (b, R), 0 to 1, and what each is a share of (b, R).

    What only one of two windows holds, as a share of what either holds (weighted Jaccard distance).
    A window that still grows may lack anything, so only its surplus counts, as a share of itself.
    """
    known, steadiness = counts[:, :-1], weights["steadiness"]
    references = weights["references"].T  # (V, R)
    both = np.zeros((len(counts), references.shape[1]), np.float32)
    for column in np.flatnonzero(known.any(0)).tolist():
        rows = np.flatnonzero(known[:, column])
        both[rows] += steadiness[column] * np.minimum(known[rows, column, None], references[column])
    own = (known * steadiness).sum(1) + counts[:, -1]
    either = own[:, None] + (weights["references"] * steadiness).sum(1) - both
    whole = np.where(closed[:, None], either, own[:, None])
    return 1 - both / whole, whole
