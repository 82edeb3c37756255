"""Turns the formats of a parser, with its settings, into the tables that `engine.compiled.read` works with."""

import re
import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.compiled.groups import GROUPS, INDEX, MOST, SLOTS
from engine.compiled.regex_digits import why_digits_matter
from engine.compiled.regex_program import ProgramTable, alphabet, bits, first, loosened, required, shortest
from engine.compiled.regex_syntax import (
    DIGITS,
    Capture,
    Chars,
    Edge,
    Expression,
    LookAround,
    PatternError,
    Repetition,
    parse,
)
from engine.compiled.regex_syntax import WORD as WORD_CHARACTERS
from engine.compiled.regex_syntax import Sequence as Row
from engine.compiled.tables import (
    A_DIGIT,
    ANCHORED,
    ANYWHERE,
    AT_WORDS,
    BY_CALLER,
    BY_LAYOUT,
    BY_LOOP,
    CLOCKED,
    FORMAT_COLUMNS,
    HEADER,
    KEY,
    KINDS,
    LEVEL_BYTES,
    MASK,
    MOST_NAME,
    MOST_NEEDS,
    NO_KEY,
    RUNS,
    SEARCH_COLUMNS,
    SESSION,
    SEVERAL,
    STATUS_KINDS,
    TEXT_MODE,
    WHOLE_WORDS,
    WORD,
    WRAPPED,
    Tables,
)  # fmt: skip
from engine.formats import http_status
from engine.formats.base import LEVEL_NAMES, LEVELS, Format
from engine.formats.masks import Mask
from engine.formats.timestamps import DIGIT_GROUPS

_COUNTED = frozenset((*DIGIT_GROUPS, http_status.GROUP))
_ANY_WIDTH = 1 << 30


class FormatTables:
    """The tables of some formats, by their number.

    Attributes:
        tables: For `engine.compiled.read`.
        why_slow: Why lines of a format cannot be answered by their skeleton alone, in one sentence; None where
            those of all formats can.
    """

    def __init__(
        self, formats: Sequence[Format], sessions: Sequence[tuple[bytes, ...]], masks: Sequence[tuple[Mask, ...]],
        orders: Sequence[Sequence[int]],
    ) -> None:  # fmt: skip
        """Compiles the patterns.

        Args:
            formats: The formats.
            sessions: The patterns that find the session key, for each format.
            masks: The masks, for each format.
            orders: Numbers of formats in the order in which lines are tried, one row for each preference.

        Raises:
            PatternError: the header of a format cannot be compiled, or depends on digits.
        """
        self.why_slow: str | None = None
        self._programs = ProgramTable()
        self._searched: list[tuple[int, Expression, bytes]] = []
        self._formats = np.zeros((len(formats), FORMAT_COLUMNS), np.int64)
        self._groups = np.full((len(formats), MOST, 3), -1, np.int64)
        levels: list[tuple[int, ...]] = []
        for number, format in enumerate(formats):
            self._header(number, format)
            self._sessions(number, sessions[number])
            self._masks(number, masks[number])
            first = len(levels)
            levels += _levels({**LEVELS, **format.levels})
            self._formats[number, WORD : WORD + 2] = first, len(levels)
        code, sets = self._programs.arrays()
        searches, starts, needs, names = self._search_tables()
        self.tables = Tables(
            code, sets, self._formats, self._groups, searches, starts, needs, names, np.array(levels, np.uint64),
            _orders(orders), http_status.KINDS, _status_names(),
        )  # fmt: skip

    def _header(self, number: int, format: Format) -> None:
        row = self._formats[number]
        row[WRAPPED], row[CLOCKED], row[KINDS], row[HEADER] = bool(format.streams), bool(format.clocks), format.http, -1
        if format.header is None:
            return
        pattern = format.header
        tree, widths = loosened(parse(pattern.pattern, dotall=bool(pattern.flags & re.DOTALL)), _COUNTED)
        if reason := why_digits_matter(tree, searched=False):
            raise PatternError(f"the header of format {format.name} depends on digits: {reason}")
        row[HEADER] = self._programs.add(tree, SLOTS)
        for name in GROUPS:
            if name in pattern.groupindex:
                self._group(number, name, *widths.get(name, (0, _ANY_WIDTH)))

    def _group(self, number: int, name: str, low: int = 0, high: int = _ANY_WIDTH) -> None:
        used = int((self._groups[number, :, 0] >= 0).sum())
        if used == MOST:
            raise PatternError(f"a header may have at most {MOST} groups with a meaning, the session key included")
        self._groups[number, used] = INDEX[name], low, high

    def _sessions(self, number: int, patterns: tuple[bytes, ...]) -> None:
        mode = self._searches(number, SESSION, [(pattern, b"") for pattern in patterns])
        self._formats[number, KEY] = mode if patterns else NO_KEY
        if patterns and mode == BY_LAYOUT:
            self._group(number, "key")

    def _masks(self, number: int, masks: tuple[Mask, ...]) -> None:
        patterns = [(mask.pattern.encode(), f"<{mask.name}>".encode()) for mask in masks]
        self._formats[number, TEXT_MODE] = self._searches(number, MASK, patterns)

    def _searches(self, number: int, column: int, patterns: list[tuple[bytes, bytes]]) -> int:
        """Adds the patterns that are searched for in lines of a format, or none where one cannot be compiled.

        Args:
            number: The format.
            column: `SESSION` or `MASK`.
            patterns: Each with what a match is replaced by (empty for session rules).

        Returns:
            How the answer is found: `BY_LAYOUT`, `BY_LOOP` or `BY_CALLER`.
        """
        start, mode, masks = len(self._searched), BY_LAYOUT, column == MASK
        for pattern, name in patterns:
            what = f"{'mask' if masks else 'session rule'} {pattern.decode()!r}"
            try:
                tree = parse(pattern, text=masks)
                self._search(tree, {} if masks else {"key": SLOTS["key"]}, name)
            except PatternError as reason:
                del self._searched[start:]
                mode = BY_CALLER
                self.why_slow = f"{what}: {reason}"
                break
            if reason_ := why_digits_matter(tree):
                mode = BY_LOOP
                self.why_slow = f"{what} depends on digits: {reason_}"
        self._formats[number, column : column + 2] = start, len(self._searched)
        return mode

    def _search(self, tree: Expression, slots: dict[str, int], name: bytes) -> None:
        if len(name) > MOST_NAME or not name.isascii():
            raise PatternError("its name is too long, or not ASCII")
        if first(tree).empty:
            raise PatternError("it can match the empty string")
        self._searched.append((self._programs.add(tree, slots), tree, name))

    def _search_tables(self) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.uint64], NDArray[np.uint8]]:
        """See `Tables`: searches, starts, needs and names."""
        count = len(self._searched)
        searches, starts = np.zeros((count, SEARCH_COLUMNS), np.int64), np.zeros((count, 3, 256), np.bool_)
        needs, names = np.full((count, MOST_NEEDS, 4), ~np.uint64(0)), np.zeros((count, MOST_NAME), np.uint8)
        for i, (place, tree, name) in enumerate(self._searched):
            searches[i] = place, len(name), _manner(tree), shortest(tree), _start_byte(tree)
            starts[i] = bits(first(tree).set), bits(_skipped(tree)), bits(alphabet(tree))
            for j, need in enumerate(sorted(set(required(tree)), key=int.bit_count)[:MOST_NEEDS]):
                needs[i, j] = [need >> 64 * word & (1 << 64) - 1 for word in range(4)]
            names[i, : len(name)] = list(name)
        return searches, starts, needs, names


def _items(tree: Expression) -> tuple[Expression, ...]:
    """The parts of a tree, those of unbranched groups included."""
    if isinstance(tree, Capture):
        return _items(tree.body)
    return tuple(part for item in tree.items for part in _items(item)) if isinstance(tree, Row) else (tree,)


def _manner(tree: Expression) -> int:
    """How matches are looked for, see `engine.compiled.tables`."""
    items = _items(tree)
    if items[0] == Edge("start"):
        return ANCHORED
    if (
        isinstance(tree, Repetition)
        and isinstance(tree.body, Chars)
        and (tree.low, tree.high, tree.mode) == (1, None, "greedy")
    ):
        return RUNS
    if items[0] != Edge("word") or first(tree).set & ~WORD_CHARACTERS:
        return ANYWHERE
    edges = [item for item in items if isinstance(item, Edge | LookAround)]
    whole = edges == [Edge("word"), Edge("word")] and items[-1] == Edge("word")
    return WHOLE_WORDS if whole and not alphabet(tree) & ~WORD_CHARACTERS else AT_WORDS


def _start_byte(tree: Expression) -> int:
    """See `engine.compiled.tables.START_BYTE`."""
    begins = first(tree).set
    if begins.bit_count() == 1:
        return begins.bit_length() - 1
    return A_DIGIT if begins == DIGITS else SEVERAL


def _skipped(tree: Expression) -> int:
    """The set of a repeat that a match begins with: where it failed at one byte of a run, it fails at the others."""
    before = 0
    for item in _items(tree):
        if not isinstance(item, Repetition) or not isinstance(item.body, Chars):
            return 0
        if item.low == 1 and item.high is None and item.mode != "lazy" and not before & item.body.set:
            return item.body.set
        if item.low:
            return 0
        before |= item.body.set
    return 0


def _levels(meanings: Mapping[str, str]) -> list[tuple[int, ...]]:
    """See `Tables.levels`."""
    if long := [word for word in meanings if len(word) > LEVEL_BYTES]:
        raise PatternError(f"the name of a level may have at most {LEVEL_BYTES} bytes: {long[0]!r}")
    words = ((word.encode().ljust(LEVEL_BYTES, b"\0"), LEVEL_NAMES.index(level)) for word, level in meanings.items())
    return [(*struct.unpack("<3Q", word), level) for word, level in words]


def _orders(orders: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """See `Tables.orders`."""
    found = np.full((len(orders), max(map(len, orders)) + 1), -1, np.int64)
    for number, row in enumerate(orders):
        found[number, : len(row)] = row
    return found


def _status_names() -> NDArray[np.uint8]:
    """See `Tables.status_names`."""
    found = np.zeros((STATUS_KINDS, 17), np.uint8)
    for kind, name in enumerate(http_status.NAMES):
        marked = f"<{name}>".encode() if name else b""
        found[kind, : len(marked)], found[kind, 16] = list(marked), len(marked)
    return found
