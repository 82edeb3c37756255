"""Templates as columns: numbered in the order in which they appear, counted a batch at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Columns = NDArray[np.int16]

_SLOTS = 1 << 14
"""Entries of the direct table: ids are hashes, so their low bits spread, and the table stays in a core's cache."""

OTHERS = 0
"""Column of everything beyond `MAX_COLUMNS`."""

MAX_COLUMNS = 16_384


class TemplateColumns:
    """Gives every template a column; a template that only generalises an older one shares its column.

    Drain widens a template as it meets more values (`Deleted block 7` becomes `Deleted block <*>`), and
    the wider text has another id. Nothing in the stream has changed then, so it counts as the same.
    """

    def __init__(self, texts: Mapping[int, str], known: Sequence[tuple[int, int, str]] = ()) -> None:
        """Starts with what `known` gave.

        Args:
            texts: Text of every template id that will be counted and is not in `known`.
            known: What is numbered already.
        """
        self._texts = texts
        self._column: dict[int, int] = {}
        self._text: dict[int, str] = {}
        self._first: list[int] = [0]  # the id that a column was made for
        self._by_length: dict[int, list[tuple[list[str], int]]] = {}
        # A slot holds an id that cannot belong there until one does.
        self._slot_id = ~np.arange(_SLOTS, dtype=np.int64)
        self._slot_column = np.zeros(_SLOTS, np.int64)
        for template, column, text in known:
            self._put(template, column, text)

    def __len__(self) -> int:
        """Columns, `OTHERS` included."""
        return len(self._first)

    def template(self, column: int) -> int:
        """The id that the column was made for."""
        return self._first[column]

    def of(self, ids: NDArray[np.int64]) -> Counts:
        """int64, the shape of `ids`: the column of each; ids not seen before get one."""
        slots = ids & (_SLOTS - 1)
        columns: Counts = self._slot_column[slots]
        strange = np.flatnonzero(self._slot_id[slots] != ids)
        if len(strange):
            found, inverse = np.unique(ids[strange], return_inverse=True)
            # In the order of their first appearance, so that batches do not decide the numbers.
            first = np.full(len(found), len(strange))
            np.minimum.at(first, inverse, np.arange(len(strange)))
            numbers = np.zeros(len(found), np.int64)
            for i in np.argsort(first).tolist():
                template = int(found[i])
                number = self._column.get(template)
                numbers[i] = self._add(template) if number is None else number
            columns[strange] = numbers[inverse]
        return columns

    def text(self, column: int) -> str:
        """Text of the template that the column was made for, "" for `OTHERS`."""
        return self._text.get(self._first[column], "")

    def known(self) -> list[tuple[int, int, str]]:
        """Every id with its column and text, in the order in which they appeared."""
        return [(template, column, self._text[template]) for template, column in self._column.items()]

    def _add(self, template: int) -> int:
        text = self._texts.get(template, "")
        words = text.split()
        older = (column for old, column in self._by_length.get(len(words), ()) if _generalises(words, old))
        column = next(older, len(self) if len(self) < MAX_COLUMNS else OTHERS)
        self._put(template, column, text)
        return column

    def _put(self, template: int, column: int, text: str) -> None:
        self._column[template] = column
        self._text[template] = text
        if column == len(self):
            self._first.append(template)
        words = text.split()
        if words:
            self._by_length.setdefault(len(words), []).append((words, column))
        slot = template & (_SLOTS - 1)
        if self._slot_id[slot] & (_SLOTS - 1) != slot:  # first come: later ones take the slow way
            self._slot_id[slot] = template
            self._slot_column[slot] = column


def _generalises(wide: list[str], narrow: list[str]) -> bool:
    """Whether `wide` is `narrow` with placeholders in some places; both of one length."""
    return all(w == n or "<*>" in w for w, n in zip(wide, narrow, strict=True))


def widened(rows: NDArray[Any], columns: int) -> NDArray[Any]:
    """`rows` (n, k) with zeros for the columns that were numbered since."""
    return rows if rows.shape[1] == columns else np.pad(rows, ((0, 0), (0, columns - rows.shape[1])))
