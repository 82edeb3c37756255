"""Tables that grow: what compiled loops fill, and Python makes longer when a loop reports that room ran out."""

import os
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.compiled.clock import VALUES
from engine.compiled.drain_tables import DrainTables
from engine.compiled.drain_tree import enter_all
from engine.compiled.groups import GROUPS, MOST
from engine.compiled.inner_level import HEAD_BYTES
from engine.compiled.match import STACK_ROWS
from engine.compiled.tables import LAYOUT_COLUMNS, LAYOUTS, MOST_NAME, TEXT_COLUMNS, TEXTS, KnownLines, Room
from engine.compiled.words import PAD

Table = TypeVar("Table", KnownLines, DrainTables)

_FIRST_ROWS = 256
_ONCE = 1 << 16


def resized(table: Table, rows: dict[str, int]) -> Table:
    """The tables with those named grown to at least so many rows each, if they are shorter; doubled then."""
    changed: dict[str, Any] = {}
    for name, wanted in rows.items():
        before: NDArray[Any] = getattr(table, name)
        if len(before) < wanted:
            changed[name] = np.zeros((max(2 * len(before), wanted), *before.shape[1:]), before.dtype)
            changed[name][: len(before)] = before
    return table._replace(**changed)


def hashed(rows: NDArray[np.int64], count: int) -> NDArray[np.int32]:
    """A hash table for as many rows as there is room for, with the first `count` in it; see `enter_all`."""
    table = np.zeros(1 << max(2 * len(rows), 2).bit_length(), np.int32)
    enter_all(table, rows, count)
    return table


class LineMemory:
    """The layouts and masked messages of the parser of one partition.

    Attributes:
        known, room: For `engine.compiled.read.read_lines`.
    """

    known: KnownLines

    def __init__(self, longest: int) -> None:
        """Takes the bytes of the longest line that has a layout."""
        slots = 2 * len(GROUPS)
        self.room = Room(
            edges=np.zeros(longest + 4, np.int64),
            buffers=np.zeros((2, 4 * longest + 4096 + MOST_NAME), np.uint8),
            slots=np.full(slots, -1, np.int64),
            other=np.full(slots, -1, np.int64),
            stack=np.zeros((STACK_ROWS, 4), np.int64),
            values=np.zeros(VALUES, np.int64),
            present=np.zeros(4, np.uint64),
            head=np.zeros(HEAD_BYTES, np.uint8),
        )
        self.forget()

    def forget(self) -> None:
        """Drops all layouts and messages."""
        rows = _FIRST_ROWS
        self.known = KnownLines(
            counts=np.zeros(3, np.int64),
            seeds=np.frombuffer(bytearray(os.urandom(16)), np.uint64),
            table=np.zeros(4 * rows, np.int32),
            once=np.zeros(_ONCE, np.int64),
            layouts=np.zeros((rows, LAYOUT_COLUMNS), np.int64),
            places=np.zeros((rows, 2 * MOST), np.int64),
            text_table=np.zeros(4 * rows, np.int32),
            texts=np.zeros((rows, TEXT_COLUMNS), np.int64),
            bytes=np.zeros(0, np.uint8),
        )

    def __len__(self) -> int:
        """The larger of the numbers of layouts and of messages."""
        return int(self.known.counts[[LAYOUTS, TEXTS]].max())

    def make_room(self, message_bytes: int = 0) -> None:
        """Makes room for at least one more layout and one more message, which may have that many bytes."""
        before = self.known
        layouts, texts, used = before.counts.tolist()
        most = max(self.room.buffers.shape[1], message_bytes) + PAD
        rows = {"layouts": layouts + 2, "places": layouts + 2, "texts": texts + 2, "bytes": used + most}
        self.known = known = resized(before, rows)
        tables: dict[str, Any] = {}
        if len(known.layouts) != len(before.layouts):
            tables["table"] = hashed(known.layouts, layouts)
        if len(known.texts) != len(before.texts):
            tables["text_table"] = hashed(known.texts, texts)
        self.known = known._replace(**tables)

    def holds_digit(self, number: int) -> bool:
        """Whether a masked message holds an ASCII digit."""
        _, start, size, *_ = self.known.texts[number].tolist()
        text = self.known.bytes[start : start + size]
        return bool(((text >= ord("0")) & (text <= ord("9"))).any())
