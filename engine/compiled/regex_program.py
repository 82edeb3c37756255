r"""Turns the tree of a regular expression into a program for `engine.compiled.match`.

A program is a table of instructions. What is known beforehand makes it fast: a repeat that can never
give anything back becomes possessive, and a branch looks at the next byte before it is tried.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from engine.compiled.regex_syntax import (  # fmt: skip
    DIGITS,
    EVERY,
    Capture,
    Chars,
    Choice,
    Edge,
    Expression,
    LookAround,
    PatternError,
    Repetition,
    Sequence,
)

(
    CHAR, MANY, MANY_LAZY, MANY_POSSESSIVE, UNTIL, MAYBE_POSSESSIVE, SPLIT, JUMP, SAVE, START, END, WORD_EDGE, LOOK,
    MATCH,
) = range(14)  # fmt: skip
"""Instructions, with their arguments:

CHAR set; MANY, MANY_LAZY, MANY_POSSESSIVE set (any number of it); UNTIL byte (any number of others, possessive);
MAYBE_POSSESSIVE set; SPLIT first, second, set of first, set of second (-1: either may begin anyhow); JUMP place;
SAVE slot; START, END, WORD_EDGE; LOOK set, behind, negative; MATCH.
"""

_MAX_INSTRUCTIONS = 2000
_NEWLINE = 1 << 10


@dataclass(slots=True)
class ProgramTable:
    """Programs that share their sets; the place of an instruction is its row."""

    code: list[list[int]] = field(default_factory=list)
    sets: dict[int, int] = field(default_factory=dict)

    def set(self, characters: int) -> int:
        """The number of a set."""
        return self.sets.setdefault(characters, len(self.sets))

    def add(self, node: Expression, slots: dict[str, int]) -> int:
        """Compiles a tree; returns the place of its first instruction.

        Args:
            node: The tree.
            slots: Number of the first of two slots for each group whose place is wanted.

        Raises:
            PatternError: it is too long, or repeats something that may be empty.
        """
        place = len(self.code)
        _Compiler(self, slots).emit(node, _First(0, True))
        self.code.append([MATCH, 0, 0, 0, 0])
        if len(self.code) - place > _MAX_INSTRUCTIONS:
            del self.code[place:]
            raise PatternError(f"the expression takes more than {_MAX_INSTRUCTIONS} instructions")
        return place

    def arrays(self) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """The instructions, int32 (n, 5), and the sets, bool (m, 256)."""
        code = np.array(self.code or np.zeros((0, 5)), np.int32)
        sets = np.array([bits(characters) for characters in self.sets] or np.zeros((1, 256)), np.bool_)
        return code, sets


def bits(characters: int) -> list[bool]:
    """A set as one flag a byte value."""
    return [bool(characters >> i & 1) for i in range(256)]


@dataclass(frozen=True, slots=True)
class _First:
    """What a part may begin with, whether it may match nothing at all, and whether a condition then decides."""

    set: int
    empty: bool
    condition: bool = False

    def then(self, after: "_First") -> "_First":
        if not self.empty:
            return self
        return _First(self.set | after.set, after.empty, self.condition or after.condition)


def first(node: Expression) -> _First:
    """What the node may begin with."""
    if isinstance(node, Chars):
        return _First(node.set, False)
    if isinstance(node, Repetition):
        body = first(node.body)
        return replace(body, empty=body.empty or node.low == 0)
    if isinstance(node, Capture):
        return first(node.body)
    if isinstance(node, Choice):
        found = [first(option) for option in node.options]
        return _First(_union(found), any(f.empty for f in found), any(f.condition for f in found))
    if isinstance(node, Sequence):
        so_far = _First(0, True)
        for item in node.items:
            so_far = so_far.then(first(item))
        return so_far
    # The end of the text is never inside a run, apart from one with a line end.
    return _First(_NEWLINE, True) if node == Edge("end") else _First(0, True, True)


def _union(firsts: Iterable[_First]) -> int:
    found = 0
    for one in firsts:
        found |= one.set
    return found


def required(node: Expression) -> list[int]:
    """Sets of each of which every match holds a byte."""
    if isinstance(node, Chars):
        return [node.set]
    if isinstance(node, Repetition):
        return required(node.body) if node.low else []
    if isinstance(node, Capture):
        return required(node.body)
    if isinstance(node, Sequence):
        return [found for item in node.items for found in required(item)]
    return []


def alphabet(node: Expression) -> int:
    """The set of all bytes that a match may hold."""
    if isinstance(node, Chars):
        return node.set
    found = 0
    for part in _parts(node):
        found |= alphabet(part)
    return found


def shortest(node: Expression) -> int:
    """Bytes of the shortest match."""
    if isinstance(node, Chars):
        return 1
    if isinstance(node, Repetition):
        return node.low * shortest(node.body)
    if isinstance(node, Choice):
        return min(map(shortest, node.options))
    return sum(map(shortest, _parts(node)))


def _parts(node: Expression) -> tuple[Expression, ...]:
    if isinstance(node, Repetition | Capture):
        return (node.body,)
    if isinstance(node, Choice):
        return node.options
    return node.items if isinstance(node, Sequence) else ()


@dataclass(frozen=True, slots=True)
class _Compiler:
    table: ProgramTable
    slots: dict[str, int]

    def put(self, *instruction: int) -> int:
        code = self.table.code
        if len(code) > 1_000_000:
            raise PatternError("the expressions are too long")
        code.append([*instruction, *[0] * (5 - len(instruction))])
        return len(code) - 1

    def emit(self, node: Expression, after: _First) -> None:
        """Appends the node's instructions; `after` is what may follow it."""
        if isinstance(node, Chars):
            self.put(CHAR, self.table.set(node.set))
        elif isinstance(node, Sequence):
            follow = [after]
            for item in reversed(node.items[1:]):
                follow.append(first(item).then(follow[-1]))
            for item, then in zip(node.items, reversed(follow), strict=False):
                self.emit(item, then)
        elif isinstance(node, Capture):
            self.group(node, after)
        elif isinstance(node, Choice):
            self.choice(node.options, after)
        elif isinstance(node, Repetition):
            self.repeat(node, after)
        elif isinstance(node, LookAround):
            self.put(LOOK, self.table.set(node.set), int(node.behind), int(node.negative))
        else:
            self.put({"start": START, "end": END, "word": WORD_EDGE}[node.kind])

    def group(self, node: Capture, after: _First) -> None:
        slot = self.slots.get(node.name)
        if slot is not None:
            self.put(SAVE, slot)
        self.emit(node.body, after)
        if slot is not None:
            self.put(SAVE, slot + 1)

    def choice(self, options: tuple[Expression, ...], after: _First) -> None:
        jumps = []
        for i, option in enumerate(options[:-1]):
            rest = Choice(options[i + 1 :]) if i + 2 < len(options) else options[-1]
            split = self.split(first(option).then(after), first(rest).then(after))
            self.emit(option, after)
            jumps.append(self.put(JUMP))
            self.table.code[split][2] = len(self.table.code)
        self.emit(options[-1], after)
        for jump in jumps:
            self.table.code[jump][1] = len(self.table.code)

    def split(self, one: _First, other: _First) -> int:
        """A branch whose first way follows it; the second has to be filled in."""
        sets = (-1 if way.empty else self.table.set(way.set) for way in (one, other))
        return self.put(SPLIT, len(self.table.code) + 1, 0, *sets)

    def repeat(self, node: Repetition, after: _First) -> None:
        body = node.body
        own = first(body)
        if not isinstance(body, Chars) and ((own.empty and node.high != 1) or node.mode == "possessive"):
            raise PatternError("a repeat of something that may be empty, or that gives nothing back")
        for _ in range(node.low):
            self.emit(body, _First(EVERY, True, True))
        if node.high is None:
            self.unbounded(node, own, after)
            return
        if node.mode == "possessive" and isinstance(body, Chars):
            for _ in range(node.high - node.low):
                self.put(MAYBE_POSSESSIVE, self.table.set(body.set))
            return
        splits = []
        for _ in range(node.high - node.low):
            splits.append(self.optional(own, after, node.mode))
            self.emit(body, own.then(after) if node.high > 1 else after)
        for split, lazy in splits:
            self.table.code[split][1 if lazy else 2] = len(self.table.code)

    def optional(self, own: _First, after: _First, mode: str) -> tuple[int, bool]:
        """A branch around what follows it, and whether going around comes first."""
        lazy = mode == "lazy"
        one, other = own.then(after), after
        split = self.split(other, one) if lazy else self.split(one, other)
        if lazy:
            self.table.code[split][2] = len(self.table.code)
        return split, lazy

    def unbounded(self, node: Repetition, own: _First, after: _First) -> None:
        if isinstance(node.body, Chars):
            modes = {"greedy": MANY, "lazy": MANY_LAZY, "possessive": MANY_POSSESSIVE}
            op = modes[node.mode]
            if op == MANY and not own.set & after.set and not (after.empty and after.condition):
                op = MANY_POSSESSIVE  # what it gives back could not begin what follows
            others = EVERY ^ own.set
            if op == MANY_POSSESSIVE and others.bit_count() == 1:
                self.put(UNTIL, others.bit_length() - 1)
            else:
                self.put(op, self.table.set(node.body.set))
            return
        split, lazy = self.optional(own, after, node.mode)
        self.emit(node.body, replace(after, set=own.set | after.set))
        self.put(JUMP, split)
        self.table.code[split][1 if lazy else 2] = len(self.table.code)


def loosened(node: Expression, names: frozenset[str]) -> tuple[Expression, dict[str, tuple[int, int]]]:
    """The tree with any number of digits in each group of `names`, and how many digits each takes.

    Raises:
        PatternError: such a group is not one repeat of digits.
    """
    widths: dict[str, tuple[int, int]] = {}

    def walk(node: Expression) -> Expression:
        if isinstance(node, Capture) and node.name in names:
            body = node.body
            if not isinstance(body, Repetition) or body.body != Chars(DIGITS) or body.low < 1:
                raise PatternError(f"group {node.name} must be one repeat of [0-9]")
            widths[node.name] = body.low, 1 << 30 if body.high is None else body.high
            return Capture(Repetition(body.body, 1, None, "greedy"), node.name)
        if isinstance(node, Capture | Repetition):
            return replace(node, body=walk(node.body))
        if isinstance(node, Choice):
            return Choice(tuple(map(walk, node.options)))
        if isinstance(node, Sequence):
            return Sequence(tuple(map(walk, node.items)))
        return node

    return walk(node), widths
