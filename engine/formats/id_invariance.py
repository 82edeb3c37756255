"""Prove that a regular expression treats an id (`engine.formats.hex_ids`) as a unit, independently of its content.

Every place in the expression that takes one character gets a position; the proof examines which
positions may follow which. A position's set holds all characters of ids (it *covers* them), some, or
none. The expression is accepted where (sufficient, not necessary):

- a covering position repeats itself, and nothing that may follow it takes a character of an id: so
  a match that enters an id here leaves it at its end;
- a position that takes only some of them either cannot be reached at an id, for what is taken before
  it cannot stand before one, or leads to failure before the id's end: no covering position and no end
  of the expression can be reached from it through others of its sort, and together they take no digit,
  no letter or no hyphen, one of which every id holds; or at the id's end, since nothing that may be
  reached there takes what may follow an id;
- a search cannot begin inside an id, or fails if it does.

Other anchors than the line's end are skipped, as if they always held: that leaves more ways to consider, never
fewer.
"""

import importlib
import re
import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from engine.formats.hex_ids import AFTER, BEFORE, BEFORE_HYPHEN, KINDS, IdKind

_parser: Any = importlib.import_module("re._parser")
_ASCII = frozenset(range(128))
_WORD = frozenset(map(ord, string.ascii_letters + string.digits + "_"))
_SPACE = frozenset(b" \t\n\r\x0b\x0c")
_DIGIT = frozenset(b"0123456789")
_CATEGORIES = {
    "CATEGORY_DIGIT": _DIGIT, "CATEGORY_NOT_DIGIT": _ASCII - _DIGIT, "CATEGORY_SPACE": _SPACE,
    "CATEGORY_NOT_SPACE": _ASCII - _SPACE, "CATEGORY_WORD": _WORD, "CATEGORY_NOT_WORD": _ASCII - _WORD,
}  # fmt: skip
_ENDS = ("AT_END", "AT_END_STRING")
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}
_BEFORE, _BEFORE_HYPHEN, _AFTER = frozenset(BEFORE), frozenset(BEFORE_HYPHEN), frozenset(AFTER)
_HYPHEN = ord("-")


class _UnknownError(Exception):
    """Something in the expression that the proof does not understand."""


@dataclass(frozen=True, slots=True)
class _Part:
    """First and last positions of a part of the expression, and whether it can take nothing."""

    first: frozenset[int]
    last: frozenset[int]
    empty: bool


_NOTHING = _Part(frozenset(), frozenset(), True)


@dataclass(slots=True)
class _Positions:
    sets: list[frozenset[int]] = field(default_factory=list)
    follow: list[set[int]] = field(default_factory=list)
    lazy: set[int] = field(default_factory=set)
    counted: set[int] = field(default_factory=set)

    def sequence(self, nodes: Iterable[Any]) -> _Part:
        whole = _NOTHING
        for node in nodes:
            part = self.node(node)
            self.link(whole.last, part.first)
            first = whole.first | part.first if whole.empty else whole.first
            last = whole.last | part.last if part.empty else part.last
            whole = _Part(first, last, whole.empty and part.empty)
        return whole

    def link(self, last: Iterable[int], first: Iterable[int]) -> None:
        for position in last:
            self.follow[position].update(first)

    def node(self, node: Any) -> _Part:
        name, value = str(node[0]), node[1]
        if name == "AT":
            return self.end() if str(value) in _ENDS else _NOTHING
        if name in _REPEATS:
            return self.repeat(name, *value)
        if name == "SUBPATTERN":
            if value[1] or value[2]:
                raise _UnknownError("flags within the expression")
            return self.sequence(value[3])
        if name == "BRANCH":
            parts = [self.sequence(branch) for branch in value[1]]
            first = frozenset().union(*(p.first for p in parts))
            return _Part(first, frozenset().union(*(p.last for p in parts)), any(p.empty for p in parts))
        self.sets.append(_characters(name, value))
        self.follow.append(set())
        only = frozenset({len(self.sets) - 1})
        return _Part(only, only, False)

    def end(self) -> _Part:
        """The end of the line, as if it were a character that no id holds and that may follow one."""
        self.sets.append(frozenset(b"\n"))
        self.follow.append(set())
        only = frozenset({len(self.sets) - 1})
        return _Part(only, only, False)

    def repeat(self, name: str, low: int, high: Any, body: Any) -> _Part:
        before = len(self.sets)
        part = self.sequence(body)
        if high != 1:  # a bounded repetition is treated as an unbounded one
            self.link(part.last, part.first)
        if high not in (1, _parser.MAXREPEAT):
            self.counted.update(range(before, len(self.sets)))
        if name == "MIN_REPEAT":
            self.lazy.update(part.last)
        return _Part(part.first, part.last, part.empty or low == 0)


def _characters(name: str, value: Any) -> frozenset[int]:
    """The ASCII characters that a node takes."""
    if name == "LITERAL":
        return frozenset({value})
    if name == "NOT_LITERAL":
        return _ASCII - {value}
    if name == "ANY":
        return _ASCII - {10}
    if name == "RANGE":
        return frozenset(range(value[0], min(value[1], 127) + 1))
    if name == "CATEGORY" and str(value) in _CATEGORIES:
        return _CATEGORIES[str(value)]
    if name == "IN":
        negated = str(value[0][0]) == "NEGATE"
        found = frozenset().union(*(_characters(str(n), v) for n, v in value[1 if negated else 0 :]))
        return _ASCII - found if negated else found
    raise _UnknownError(f"{name.lower()} is not understood here")


class _Proof:
    """Looks for a way by which the content of an id could matter."""

    def __init__(self, positions: _Positions, whole: _Part, kind: IdKind, *, search: bool) -> None:
        self._sets, self._follow, self._lazy = positions.sets, positions.follow, positions.lazy
        self._counted = positions.counted
        self._last = whole.last
        self._ids = frozenset(kind.characters)
        self._needs = [frozenset(row) for row in kind.needs]
        count = range(len(self._sets))
        self._covering = {p for p in count if self._sets[p] >= self._ids}
        self._partial = {p for p in count if self._sets[p] & self._ids} - self._covering
        self._begins = whole.first if search else frozenset()
        self._led_by = [{q for q in count if p in self._follow[q]} for p in count]

    def why_not(self) -> str | None:
        for p in self._covering:
            if reason := self._covering_fault(p):
                return reason
        for p in self._partial:
            inside = p in self._begins
            if (inside or any(map(self._before, self._led_by[p]))) and (reason := self._partial_fault(p, inside)):
                return reason
        return None

    def _covering_fault(self, p: int) -> str | None:
        if p not in self._follow[p] or p in self._counted:
            return "it counts characters of a set that holds ids"
        others = self._follow[p] - {p}
        if any(self._sets[r] & self._ids for r in others):
            return "a set that holds ids is followed by one that could continue inside an id"
        if p in self._lazy and p in self._last:
            return "a lazy repeat at the end could stop inside an id"
        if p in self._begins and (p in self._last or any(self._sets[r] & _AFTER for r in others)):
            return "a search could begin inside an id"
        return None

    def _before(self, q: int) -> bool:
        """Whether the characters of position q may be right before an id."""
        if self._sets[q] & _BEFORE:
            return True
        if _HYPHEN not in self._sets[q]:
            return False
        return q in self._begins or any(self._sets[o] & _BEFORE_HYPHEN for o in self._led_by[q])

    def _partial_fault(self, p: int, inside: bool) -> str | None:
        reached, waiting = {p}, [p]
        while waiting:
            for r in self._follow[waiting.pop()] - reached:
                if r in self._covering:
                    return "after some characters of an id it could take the rest"
                if r in self._partial:
                    reached.add(r)
                    waiting.append(r)
        if reached & self._last:
            return "it could end inside an id"
        taken = frozenset().union(*(self._sets[r] for r in reached))
        stuck = not all(taken & need for need in self._needs) and not inside
        exits = set().union(*(self._follow[r] for r in reached)) - reached
        if not stuck and any(self._sets[r] & _AFTER for r in exits):
            return "it could take some ids and not others"
        return None


@lru_cache(maxsize=2048)
def why_not_id_blind(
    pattern: str | bytes, *, search: bool, flags: int = 0, kinds: tuple[IdKind, ...] = KINDS
) -> str | None:
    """The reason why what `pattern` finds may depend on what an id holds, or None if it cannot.

    Args:
        pattern: An expression without look-arounds.
        search: Whether it may begin anywhere; False where it is matched at a line's start, where no id is.
        flags: Of the compiled expression.
        kinds: The kinds of ids that matter.
    """
    try:
        if flags & re.IGNORECASE:
            raise _UnknownError("it ignores the case of letters")
        tree = list(_parser.parse(pattern, flags & ~re.UNICODE))
        if tree and str(tree[0][0]) == "AT" and str(tree[0][1]) in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
            search = False
        positions = _Positions()
        whole = positions.sequence(tree)
    except _UnknownError as reason:
        return str(reason)
    found = (_Proof(positions, whole, kind, search=search).why_not() for kind in kinds)
    return next((reason for reason in found if reason), None)
