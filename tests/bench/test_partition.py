from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.data.partition import by_dirichlet, by_key, by_node
from models.base import Windows

WINDOWS = Windows.of([[1, 1, 1, i % 7 + 2] for i in range(700)] + [[]])


def whole(parts: Sequence[NDArray[np.int64]], count: int) -> bool:
    """Whether the parts hold every window once, each in ascending order."""
    together = np.sort(np.concatenate(parts))
    return np.array_equal(together, np.arange(count)) and all((np.diff(p) > 0).all() for p in parts)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40))
def test_by_node(nodes: list[str]) -> None:
    parts = by_node(nodes)
    assert whole(list(parts.values()), len(nodes))
    assert all(nodes[i] == name for name, part in parts.items() for i in part.tolist())


@given(st.lists(st.text(max_size=4), min_size=1, max_size=40), st.integers(1, 5))
def test_by_key_keeps_a_session_in_one_region(keys: list[str], regions: int) -> None:
    parts = by_key([*keys, *keys], regions)
    assert whole(parts, 2 * len(keys))
    assert all({i % len(keys) for i in part.tolist()} == {i for i in part.tolist() if i < len(keys)} for part in parts)


@given(st.integers(1, 20), st.floats(0.05, 100), st.integers(0, 5))
def test_by_dirichlet_deals_every_window_out_once(regions: int, alpha: float, seed: int) -> None:
    parts = by_dirichlet(WINDOWS, regions, alpha, seed=seed)
    assert len(parts) == regions
    assert whole(parts, len(WINDOWS))
    again = by_dirichlet(WINDOWS, regions, alpha, seed=seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


def test_a_small_alpha_makes_regions_unlike() -> None:
    def unlike(alpha: float) -> float:
        """Mean over the templates of the largest share that one region has of it."""
        parts = by_dirichlet(WINDOWS, 10, alpha, seed=1)
        kind = np.array([i % 7 for i in range(700)])
        return float(np.mean([max((kind[p[p < 700]] == k).sum() for p in parts) / 100 for k in range(7)]))

    assert unlike(0.05) > 0.6
    assert unlike(1000.0) < 0.2
