"""Moves: the templates whose share of windows has changed, and what kind of change they make together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

DriftKind = Literal["new_templates", "renamed", "vanished", "rate", "scores", "labels"]

_GONE_SHARE = 0.1
"""A template whose share is below this part of the usual one has vanished; the other way round it is new."""
_ALIKE = 0.35
"""Shares that differ by less than this part of the larger can be one template under two names."""


@dataclass(frozen=True, slots=True)
class Move:
    """A template's share of windows, in the reference and since it changed.

    Attributes:
        column: Number of the template.
        divergence: Jensen-Shannon divergence of the two shares, in bits.
        usual: In the reference.
        now: Since the change.
        blocks: How many blocks ago it changed.
    """

    column: int
    divergence: float
    usual: float
    now: float
    blocks: int


def kind_of(moves: Sequence[Move], text: dict[int, str]) -> DriftKind:
    """The kind of change of templates; `text` has their texts by column."""
    new = [m for m in moves if m.usual < _GONE_SHARE * m.now]
    gone = [m for m in moves if m.now < _GONE_SHARE * m.usual]
    if any(_renamed(a, b, text) for a in gone for b in new):
        return "renamed"
    heaviest = moves[0] if moves else None
    if heaviest in new:
        return "new_templates"
    return "vanished" if heaviest in gone else "rate"


def _renamed(old: Move, new: Move, text: dict[int, str]) -> bool:
    """Whether one template came at the other's rate, with half of its words, when the other vanished."""
    words, others = set(text.get(old.column, "").split()), set(text.get(new.column, "").split())
    alike = abs(old.usual - new.now) < _ALIKE * max(old.usual, new.now)
    return alike and 2 * len(words & others) >= max(1, min(len(words), len(others)))
