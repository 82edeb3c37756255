"""A table of windows as arrays: all of it, or a part with what changed; and the table from them again."""

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.windows.grouping import Ints, ragged_index
from engine.windows.session_table import (
    BASE,
    COUNT,
    DEADLINE,
    FIRST_NS,
    ID,
    LAST,
    LAST_NS,
    SAVED,
    SESSION,
    SessionTable,
)
from engine.windows.window_base import WindowStateError

Arrays = Mapping[str, NDArray[Any]]

_GROWING = [LAST, FIRST_NS, LAST_NS, DEADLINE]
"""The columns that lines added to a window change, next to COUNT."""


def dump(table: SessionTable, slots: Ints) -> dict[str, NDArray[Any]]:
    """Copies of all that has to be saved of slots in use."""
    rows = table.rows[slots]
    keys = list(map(table.keys.__getitem__, slots.tolist()))
    return {
        "rows": rows[:, :SAVED],
        "tokens": table.tokens.gather(rows[:, BASE], rows[:, COUNT]),
        "key_lengths": np.fromiter(map(len, keys), np.uint32, len(keys)),
        "keys": np.frombuffer(b"".join(keys), np.uint8),
    }


def dump_part(table: SessionTable, whole: Ints, grown: Ints, held: Ints) -> dict[str, NDArray[Any]]:
    """A part of a table for `load_parts`.

    Args:
        table: The table.
        whole: int64: slots, in use or not, that the part holds all of.
        grown: int64 (g,): other slots, whose windows were saved and have grown since.
        held: int (g,): lines that each of them had when it was saved.
    """
    live = table.is_used(whole)
    rows = table.rows[grown]
    return {
        "slots": whole.astype(np.int32),
        "live": live,
        **dump(table, whole[live]),
        "grown": grown.astype(np.int32),
        "grown_rows": rows[:, _GROWING],
        "grown_lengths": (rows[:, COUNT] - held).astype(np.int32),
        "grown_tokens": table.tokens.gather(rows[:, BASE] + held, rows[:, COUNT] - held),
    }


def load(table: SessionTable, state: Arrays) -> None:
    """Fill an empty table with what `dump` returned.

    Raises:
        WindowStateError: the arrays do not fit each other.
    """
    count = len(state["key_lengths"])
    table.resize(max(count, len(table.rows)))
    _place(table, np.arange(count), state, np.ones(count, np.bool_))
    table.find_free()


def load_parts(table: SessionTable, parts: Sequence[Arrays], size: int) -> None:
    """Fill an empty table with `size` slots from what `dump_part` returned, oldest first.

    Raises:
        WindowStateError: the arrays of a part do not fit each other.
    """
    table.resize(size)
    newest = np.full(size, len(parts), np.int64)  # the part to take each slot from
    for number, part in enumerate(parts):
        newest[part["slots"]] = number
    for number, part in enumerate(parts):
        live = part["live"]
        taken = newest[part["slots"]] == number
        _place(table, part["slots"][live & taken].astype(np.int64), part, taken[live])
        _append(table, part, newest[part["grown"]] < number)
    table.find_free()


def _place(table: SessionTable, slots: Ints, state: Arrays, taken: NDArray[np.bool_]) -> None:
    """Opens the windows of a `dump` that are taken, in the given slots."""
    rows, lengths = state["rows"], state["key_lengths"]
    if rows.shape != (len(taken), SAVED) or len(lengths) != len(taken):
        raise WindowStateError(f"window state has rows of shape {rows.shape} and {len(lengths)} keys")
    blob, ends = state["keys"].tobytes(), np.cumsum(lengths, dtype=np.int64)
    spans = zip((ends - lengths).tolist(), ends.tolist(), strict=True)
    keys = [blob[start:end] for start, end in compress(spans, taken.tolist())]
    starts = np.cumsum(rows[:, COUNT]) - rows[:, COUNT]
    rows = rows[taken]
    table.open_at(slots, rows[:, ID], rows[:, SESSION], keys)
    table.rows[slots, :SAVED] = rows
    table.rows[slots, COUNT] = 0
    _extend(table, slots, rows[:, COUNT], state["tokens"][ragged_index(starts[taken], rows[:, COUNT])])


def _append(table: SessionTable, part: Arrays, taken: NDArray[np.bool_]) -> None:
    """Adds the lines of the windows that grew and are taken."""
    slots, lengths = part["grown"][taken].astype(np.int64), part["grown_lengths"].astype(np.int64)
    if len(part["grown_rows"]) != len(taken) or len(lengths) != len(taken):
        raise WindowStateError(f"window state has {len(taken)} windows that grew, and {len(lengths)} lengths")
    starts = np.cumsum(lengths) - lengths
    table.rows[slots[:, None], _GROWING] = part["grown_rows"][taken]
    _extend(table, slots, lengths[taken], part["grown_tokens"][ragged_index(starts[taken], lengths[taken])])


def _extend(table: SessionTable, slots: Ints, lengths: Ints, tokens: Ints) -> None:
    """Adds `lengths` entries of `tokens` to the windows in `slots`."""
    more = (lengths > 0).nonzero()[0]
    slots, lengths = slots[more], lengths[more]
    bases, counts = table.rows[slots, BASE], table.rows[slots, COUNT]
    table.rows[slots, BASE] = table.tokens.extend(bases, counts, lengths, tokens)
    table.rows[slots, COUNT] += lengths
