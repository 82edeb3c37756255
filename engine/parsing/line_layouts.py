"""The layout of every shape of line: the places of its time and session key, and its masked text.

A shape is learnt from the first line that has it, which `HeaderReader` reads. Places are kept
relative to the *edges* of the line's digit runs, since only those move between lines of one shape.
`Shapes.locate` then reads the times and keys of thousands of lines at once, and marks the lines whose
result is certain; the others are read again one by one.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.formats import http_status
from engine.formats.hex_ids import MARKS
from engine.formats.timestamps import DIGIT_GROUPS, LETTER_GROUPS, TimeRules
from engine.parsing.header import Header, HeaderReader
from engine.parsing.parsed_columns import LEVEL_BY_LINE, SPANNED
from engine.parsing.session_key import MAX_VECTOR_BYTES, hash_key, hash_keys
from engine.parsing.skeleton import MAX_DIGITS, Words, run_values

NO_TEXT = -1
"""Text number of a shape whose masked text differs from line to line."""

_LINE_START = -1
_MISSING = -1
_KEYLESS = -2


@dataclass(frozen=True, slots=True)
class Blob:
    """A padded blob with its digit runs; `first_edge[i]` is the first edge within line i."""

    bytes: NDArray[np.uint8]
    words: Words
    edges: NDArray[np.int64]
    line_start: NDArray[np.int64]
    first_edge: NDArray[np.int64]

    def edges_of(self, row: int) -> list[int]:
        """The edges of the digit runs of one line, from the line's start."""
        stop = self.first_edge[row + 1] if row + 1 < len(self.first_edge) else len(self.edges)
        found: list[int] = (self.edges[self.first_edge[row] : stop] - self.line_start[row]).tolist()
        return found

    def take(self, rows: NDArray[np.int64]) -> "Blob":
        """The same blob, with only some of its lines."""
        return Blob(self.bytes, self.words, self.edges, self.line_start[rows], self.first_edge[rows])


@dataclass(frozen=True, slots=True)
class Located:
    """Time, key and kind of HTTP status of every line, valid where `ok`; places index the padded blob."""

    ok: NDArray[np.bool_]
    time_ns: NDArray[np.int64]
    session: NDArray[np.int64]
    key_start: NDArray[np.int64]
    key_end: NDArray[np.int64]
    kind: NDArray[np.int64] | None


class Shapes:
    """The known shapes of one format, as columns.

    Attributes:
        numbers: Skeleton → shape number; a skeleton not known gives `UNKNOWN`.
    """

    UNKNOWN = -1

    def __init__(self, reader: HeaderReader, times: TimeRules, *, wrapped: bool = False) -> None:
        """Takes the reader of single lines, the rules for times, and whether lines were wrapped (`Format.streams`)."""
        self._reader = reader
        self._wrapped = wrapped
        self._times = times
        self._groups = [g for g in (*DIGIT_GROUPS, http_status.GROUP) if g in reader.widths]
        self._kinds = len(http_status.NAMES) if http_status.GROUP in reader.widths else 1
        self._letter_groups = [g for g in LETTER_GROUPS if g in reader.groups and reader.has_time]
        self.clear()

    def clear(self) -> None:
        """Forgets every shape; they are learnt again as they come."""
        self.numbers = _Numbers()
        self._runs = _grown(0)
        self._texts = _grown(0)
        self._letters = [_grown(0) for _ in self._letter_groups]
        self._group_run = [_grown(0) for _ in self._groups]
        self._key = [_grown(0) for _ in range(4)]  # start edge, start offset, end edge, end offset
        self._level = _grown(0)
        self._container = _grown(0)
        self._span_edge = np.zeros((0, 2 * len(SPANNED)), np.int64)  # start and end of each field by turns
        self._span_offset = np.zeros((0, 2 * len(SPANNED)), np.int64)
        self._some_keyless = False
        self._some_at_line_start = self._some_span_at_line_start = False
        self._some_missing = [False for _ in self._groups]

    def __len__(self) -> int:
        return len(self.numbers)

    def learn(self, skeleton: bytes, edges: list[int], header: Header, text: int, line_bytes: int) -> int | None:
        """Keeps the shape of a line that was read; None where places in it cannot be carried over.

        Args:
            skeleton: The line's skeleton.
            edges: The edges of the line's digit runs, from the line's start.
            header: Where things are in the line.
            text: Number of the masked text, for lines with this one's kind of HTTP status, or `NO_TEXT`.
            line_bytes: The line's length without its line end and a final carriage return.
        """
        if (self._groups or self._reader.clocked) and not header.timed:
            return None
        first, last = _anchor(edges, header.key_start), _anchor(edges, header.key_end)
        runs = [_run_of(edges, *header.match.span(g)) for g in self._groups]
        if first is None or last is None or None in runs:
            return None
        places = self._reader.spans(header.match, line_bytes)
        anchors = [_anchor(edges, place) for span in places for place in span]
        if None in anchors:
            return None
        number = len(self.numbers)
        self._grow(number)
        held = [anchor for anchor in anchors if anchor is not None]
        self._span_edge[number], self._span_offset[number] = zip(*held, strict=True)
        self._some_span_at_line_start |= any(edge == _LINE_START for edge, _ in held)
        self._level[number] = self._reader.level_code(header.match)
        if self._wrapped:
            self._container[number] = self._reader.container(header.match)
            if any(mark in skeleton for mark in MARKS):  # the place of a level in the message depends on its ids
                self._level[number] = LEVEL_BY_LINE
        keyless = header.key_start == header.key_end
        for column, value in zip(self._key, (_KEYLESS, 0, _KEYLESS, 0) if keyless else first + last, strict=True):
            column[number] = value
        self._some_keyless |= keyless
        self._some_at_line_start |= not keyless and _LINE_START in (first[0], last[0])
        for i, run in enumerate(runs):
            self._group_run[i][number] = _MISSING if run is None else run
            self._some_missing[i] |= run == _MISSING
        for column, group in zip(self._letters, self._letter_groups, strict=True):
            letters = header.match[group]
            column[number] = LETTER_GROUPS[group][letters.decode()] if letters else 0
        self._runs[number] = len(edges)
        self._texts[number * self._kinds : (number + 1) * self._kinds] = NO_TEXT
        self.set_text(number, self._reader.kind(header.match), text)
        self.numbers[skeleton] = number
        return number

    def _grow(self, number: int) -> None:
        if number < len(self._runs):
            return
        size = max(256, 2 * number)
        self._runs, self._texts = _grown(size, self._runs), _grown(size * self._kinds, self._texts)
        self._letters = [_grown(size, c) for c in self._letters]
        self._group_run = [_grown(size, c) for c in self._group_run]
        self._key = [_grown(size, c) for c in self._key]
        self._level = _grown(size, self._level)
        self._container = _grown(size, self._container)
        self._span_edge, self._span_offset = _grown(size, self._span_edge), _grown(size, self._span_offset)

    def edge_counts(self, shapes: NDArray[np.int32]) -> NDArray[np.int64]:
        """int64: edges of digit runs in a line of each shape; means nothing where the shape is unknown."""
        return self._runs[shapes] if len(self) else np.zeros(len(shapes), np.int64)

    def texts(self, shapes: NDArray[np.int32], kind: NDArray[np.int64] | None) -> NDArray[np.int32]:
        """int32: the text number of each shape with lines of that kind, or `NO_TEXT`."""
        return self._texts[shapes if kind is None else shapes * self._kinds + kind].astype(np.int32)

    def set_text(self, shape: int, kind: int, text: int) -> None:
        """Keeps the text number of a shape with lines of that kind."""
        self._texts[shape * self._kinds + kind] = text

    def levels(self, shapes: NDArray[np.int32]) -> NDArray[np.int8]:
        """int8: the level of each shape, see `engine.parsing.parsed_columns.Rows.level`."""
        return self._level[shapes].astype(np.int8)

    def containers(self, shapes: NDArray[np.int32]) -> NDArray[np.int8]:
        """int8: see `engine.parsing.parsed_columns.Rows.container`."""
        return self._container[shapes].astype(np.int8)

    def spans(self, blob: Blob, shapes: NDArray[np.int32]) -> NDArray[np.int64]:
        """int64 (n, len(SPANNED), 2): places in the padded blob, see `engine.parsing.parsed_columns.Rows.spans`."""
        edge, found = self._span_edge.take(shapes, 0), self._span_offset.take(shapes, 0)
        if not (self._some_span_at_line_start or not len(blob.edges)):
            edge += blob.first_edge[:, None]
            found += blob.edges.take(edge)
        else:
            at_start = edge == _LINE_START
            index = np.minimum(blob.first_edge[:, None] + np.where(at_start, 0, edge), len(blob.edges) - 1)
            base = blob.edges[index] if len(blob.edges) else 0
            found += np.where(at_start, blob.line_start[:, None], base)
        return found.reshape(len(shapes), len(SPANNED), 2)

    def locate(self, blob: Blob, shapes: NDArray[np.int32], read_ns: int) -> Located:
        """Reads time and session key of lines whose shapes are known."""
        ok = np.ones(len(shapes), np.bool_)
        start, end = self._key_places(blob, shapes)
        session = self._hashes(blob, start, end)
        if not self._groups:
            return Located(ok, np.full(len(shapes), read_ns, np.int64), session, start, end, None)
        columns: dict[str, NDArray[np.int64]] = {}
        for i, group in enumerate(self._groups):
            run = self._group_run[i][shapes]
            missing = run == _MISSING if self._some_missing[i] else None
            edge = blob.first_edge + 2 * (run if missing is None else np.where(missing, 0, run))
            if missing is not None:
                np.minimum(edge, len(blob.edges) - 2, out=edge)
            stop = blob.edges[edge + 1]
            width = stop - blob.edges[edge]
            least, most = self._reader.widths[group]
            fits = (width >= least) & (width <= min(most, MAX_DIGITS))
            columns[group] = run_values(blob.words, stop, width)
            if missing is not None:
                fits |= missing
                columns[group][missing] = 0
                width[missing] = 0
            ok &= fits
            if group == "fraction":
                ok &= width <= 9
                columns["fraction_digits"] = np.clip(width, 0, 9)
        for letters, group in zip(self._letters, self._letter_groups, strict=True):
            columns["month" if group == "month_name" else group] = letters[shapes]
        status = columns.pop(http_status.GROUP, None)
        kind = None if status is None else http_status.KINDS[np.minimum(status, len(http_status.KINDS) - 1)]
        time_ns, sure = self._times.of_columns(columns, read_ns)
        return Located(ok & sure, time_ns, session, start, end, kind)

    def _key_places(self, blob: Blob, shapes: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        places = []
        simple = not (self._some_keyless or self._some_at_line_start)
        for edge_column, offset_column in (self._key[:2], self._key[2:]):
            edge, offset = edge_column[shapes], offset_column[shapes]
            if simple:
                places.append(blob.edges[blob.first_edge + edge] + offset)
                continue
            at_start = edge < 0
            index = np.minimum(blob.first_edge + np.where(at_start, 0, edge), max(len(blob.edges) - 1, 0))
            base = blob.edges[index] if len(blob.edges) else blob.line_start
            places.append(np.where(at_start, blob.line_start, base) + offset)
        if self._some_keyless:
            keyless = self._key[0][shapes] == _KEYLESS
            places = [np.where(keyless, blob.line_start, place) for place in places]
        return places[0], places[1]

    def _hashes(self, blob: Blob, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
        length = end - start
        long = np.flatnonzero(length > MAX_VECTOR_BYTES)
        if not len(long):
            return hash_keys(blob.words, start, end)
        session = hash_keys(blob.words, start, np.minimum(end, start + MAX_VECTOR_BYTES))
        for i in long.tolist():
            session[i] = hash_key(blob.bytes[start[i] : end[i]].tobytes())
        return session


class _Numbers(dict[bytes, int]):
    def __missing__(self, key: bytes) -> int:
        return Shapes.UNKNOWN


def _grown(size: int, old: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """A column, or a table of several, of `size` rows that begins with the old ones."""
    grown = np.zeros((size, *(() if old is None else old.shape[1:])), np.int64)
    if old is not None:
        grown[: len(old)] = old
    return grown


def _anchor(edges: list[int], place: int) -> tuple[int, int] | None:
    """(edge, offset) of a byte place: the last edge at or before it, or the line's start."""
    at = bisect_right(edges, place) - 1
    if at == _LINE_START:
        return _LINE_START, place
    offset = place - edges[at]
    inside_run = at % 2 == 0 and offset > 0
    return None if inside_run else (at, offset)


def _run_of(edges: list[int], start: int, end: int) -> int | None:
    """Which digit run a group is; `_MISSING` where it took no part, None where it is not one whole run."""
    if start < 0:
        return _MISSING
    edge = bisect_left(edges, start)
    whole = edge % 2 == 0 and edges[edge : edge + 2] == [start, end]
    return edge // 2 if whole else None
