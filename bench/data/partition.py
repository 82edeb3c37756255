"""Dealing labelled windows out to regions: by node, by time, or unevenly by what they are about (Dirichlet)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.base import Windows, template_id

Parts = list[NDArray[np.int64]]
"""One ascending index of windows for each region; together they hold every window once."""


def by_node(nodes: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """The windows of every node, by its name; `nodes` names the node of each window."""
    names, of = np.unique(np.array(nodes), return_inverse=True)
    return {str(name): np.flatnonzero(of == i) for i, name in enumerate(names)}


def by_key(keys: Sequence[str], regions: int) -> Parts:
    """By a hash of each window's session key, so that a session is in one region, the same in every run."""
    of = np.array([template_id(key) % regions for key in keys], np.int64)
    return [np.flatnonzero(of == i) for i in range(regions)]


def by_dirichlet(windows: Windows, regions: int, alpha: float, *, seed: int) -> Parts:
    """Every region gets its own mix of templates.

    A window belongs to the rarest template in it; for each template, the shares of the regions are drawn
    from a Dirichlet distribution (Hsu et al., 2019, https://arxiv.org/abs/1909.06335, by template
    instead of by class).

    Args:
        windows: All of them.
        regions: How many regions.
        alpha: Large: all regions alike; below 1: most of a template's windows lie in few regions.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    kind = _rarest(windows)
    of = np.zeros(len(windows), np.int64)
    for name in np.unique(kind):
        members = rng.permutation(np.flatnonzero(kind == name))
        ends = np.round(np.cumsum(rng.dirichlet(np.full(regions, alpha))) * len(members)).astype(np.int64)
        of[members] = np.minimum(np.searchsorted(ends, np.arange(len(members)), side="right"), regions - 1)
    return [np.flatnonzero(of == i) for i in range(regions)]


def _rarest(windows: Windows) -> NDArray[np.int64]:
    """int64 (n,): for each window the template that the fewest windows hold; 0 for an empty one."""
    session = np.repeat(np.arange(len(windows)), windows.lengths())
    names, of = np.unique(windows.ids, return_inverse=True)
    pairs = np.unique(np.stack([session, of]), axis=1)
    frequency = np.bincount(pairs[1], minlength=len(names))
    order = np.lexsort((pairs[1], frequency[pairs[1]], pairs[0]))
    first, at = np.unique(pairs[0][order], return_index=True)
    rarest = np.zeros(len(windows), np.int64)
    rarest[first] = names[pairs[1][order][at]]
    return rarest
