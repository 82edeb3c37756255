"""Reads the lines of formats with a header: by shape where it is known, else one by one."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from connectors.base import LineBatch
from engine.formats.registry import Format
from engine.parsing.header import MAX_PID_DIGITS, BadLineError, Header, HeaderReader, text_of
from engine.parsing.line_layouts import NO_TEXT, Blob, Shapes
from engine.parsing.parse_settings import ParseSettings
from engine.parsing.parsed_columns import Fields, Rows
from engine.parsing.session_key import hash_key
from engine.parsing.skeleton import PAD, Words, run_edges
from engine.parsing.skeleton_batch import IdWatch, Scan
from engine.parsing.templates import PartitionTemplates

_NO_HEADERS: Mapping[int, Header] = {}

_NEVER = -2
"""Shape number of a line that must not be looked up."""


class ShapeReader:
    """See `engine.parsing.parsed_columns.LineReader`.

    Attributes:
        header: The reader of single lines.
        id_blind: Whether nothing that is found in a line depends on what its ids hold.
    """

    def __init__(self, format: Format, settings: ParseSettings, templates: PartitionTemplates) -> None:
        times = settings.times()
        self._format = format
        self._templates = templates
        self.header = HeaderReader(format, settings.session_rule(format), times)
        self._wrapped = bool(format.streams)
        self._shapes = Shapes(self.header, times, wrapped=self._wrapped)
        self.id_blind = self.header.id_blind and templates.takes_ids
        self._watch = IdWatch()
        # Lines with unique ids in hexadecimal have shapes that never come again: learning pays from
        # the second time on.
        self._once: set[bytes] = set()
        self._given: Mapping[int, Header] = _NO_HEADERS
        self._max_shapes = settings.max_shapes
        self._max_line = settings.max_message_bytes
        self.why_slow = self.header.why_slow

    def trim(self) -> None:
        """See `engine.parsing.parsed_columns.LineReader`."""
        if max(len(self._shapes), len(self._once), self._templates.texts) > self._max_shapes:
            self._shapes.clear()
            self._once.clear()
            self._templates.forget()

    def read(self, batch: LineBatch, scan: Scan | None = None, headers: Mapping[int, Header] = _NO_HEADERS) -> Rows:
        """See `parsed_columns.LineReader`; `scan` and `headers`, by row, are given where they are at hand."""
        rows = Rows.empty(len(batch), container=self._wrapped)
        self._given = headers
        if not len(batch):
            return rows
        if scan is None or (scan.ids and not self.id_blind):
            scan = Scan.of(batch, seek=self._watch.on and self.id_blind)
        names, shapes, blob = self._look_up(batch, scan)
        missed = np.flatnonzero(shapes < 0)
        self._watch.saw(scan, len(missed))
        if not len(missed):
            self._read_known(np.arange(len(batch)), shapes, blob, batch, rows)
            return rows
        self._read_known(np.flatnonzero(shapes >= 0), shapes, blob, batch, rows)
        # Shapes learnt from the first of the missed lines serve the rest of them.
        learnt = self._read_missed(missed, names, shapes, blob, batch, rows)
        self._read_known(learnt, shapes, blob, batch, rows)
        return rows

    def _look_up(self, batch: LineBatch, scan: Scan) -> tuple[list[bytes], NDArray[np.int32], Blob]:
        n = len(batch)
        data, names = scan.data, scan.names
        shapes = np.fromiter(map(self._shapes.numbers.__getitem__, names), np.int32, n)
        start = np.empty(n, np.int64)
        start[0] = PAD
        np.add(batch.ends[:-1], PAD + 1, out=start[1:])
        if unsure := scan.unsure(batch, self._max_line):
            shapes[unsure] = _NEVER
        edges = run_edges(scan.runs)
        counts = self._shapes.edge_counts(shapes)
        for row in np.flatnonzero(shapes < 0).tolist():
            counts[row] = 2 * scan.run_count(row)
        first_edge = np.zeros(n, np.int64)
        np.cumsum(counts[:-1], out=first_edge[1:])
        return names, shapes, Blob(data, Words.of(data), edges, start, first_edge)

    def _read_known(
        self, index: NDArray[np.int64], shapes: NDArray[np.int32], blob: Blob, batch: LineBatch, rows: Rows
    ) -> None:
        """Fills the rows at `index`, all of known shapes, all at once as far as that is sure."""
        if not len(index):
            return
        every = len(index) == len(batch)
        mine = shapes if every else shapes[index]
        part = blob if every else blob.take(index)
        found = self._shapes.locate(part, mine, batch.read_ns)
        at: NDArray[np.int64] | slice = slice(None) if every else index
        rows.time_ns[at], rows.session[at] = found.time_ns, found.session
        rows.key_start[at], rows.key_end[at] = found.key_start - PAD, found.key_end - PAD
        text = self._shapes.texts(mine, found.kind)
        rows.text[at] = text
        rows.level[at], rows.spans[at] = self._shapes.levels(mine), self._shapes.spans(part, mine) - PAD
        if self._wrapped:
            rows.container[at] = self._shapes.containers(mine)
        if not found.ok.all():
            for row in index[~found.ok].tolist():
                if (header := self._read_one(row, batch, rows)) is not None:  # its message may begin elsewhere
                    rows.text[row], _ = self._text_number(_line(batch, row), header.message_start)
        if (unmasked := found.ok & (text == NO_TEXT)).any():
            for row in index[unmasked].tolist():
                self._mask_one(row, int(shapes[row]), batch, rows)

    def _read_missed(
        self,
        missed: NDArray[np.int64],
        names: list[bytes],
        shapes: NDArray[np.int32],
        blob: Blob,
        batch: LineBatch,
        rows: Rows,
    ) -> NDArray[np.int64]:
        """Reads lines of unknown shapes and learns these; returns the rows that are left to read."""
        left = []
        numbers = self._shapes.numbers
        for row in missed.tolist():
            learn = shapes[row] != _NEVER and self.why_slow is None
            if learn and (number := numbers[names[row]]) >= 0:
                shapes[row] = number
                left.append(row)
                continue
            header = self._read_one(row, batch, rows)
            if header is None:
                continue
            line = _line(batch, row)
            number, fixed = self._text_number(line, header.message_start)
            rows.text[row] = number
            if learn and names[row] in self._once:
                self._shapes.learn(names[row], blob.edges_of(row), header, number if fixed else NO_TEXT, len(line))
                self._once.discard(names[row])
            elif learn:
                self._once.add(names[row])
        return np.array(left, np.int64)

    def _read_one(self, row: int, batch: LineBatch, rows: Rows) -> Header | None:
        """Fills a row by the header's pattern, but for its text; None if the line is bad."""
        line = _line(batch, row)
        try:
            header = self._given.get(row) or self.header.read(line, batch.read_ns)
        except BadLineError as reason:
            rows.bad[row] = str(reason)
            if self._wrapped:
                rows.container[row] = 0
            return None
        start = 0 if row == 0 else int(batch.ends[row - 1]) + 1
        rows.time_ns[row] = header.time_ns
        rows.session[row] = hash_key(line[header.key_start : header.key_end])
        rows.key_start[row], rows.key_end[row] = start + header.key_start, start + header.key_end
        if self._wrapped:
            rows.container[row] = self.header.container(header.match)
        rows.level[row] = self.header.level_code(header.match)
        rows.spans[row] = np.array(self.header.spans(header.match, len(line))) + start
        return header

    def _mask_one(self, row: int, shape: int, batch: LineBatch, rows: Rows) -> None:
        if row in rows.bad:
            return
        line = _line(batch, row)
        match = self.header.match(line)
        start = match.start("message")
        rows.text[row], fixed = self._text_number(line, len(line) if start < 0 else start)
        if fixed:  # a status of another kind than those that the shape was seen with
            self._shapes.set_text(shape, self.header.kind(match), rows.text[row])

    def _text_number(self, line: bytes, message_start: int) -> tuple[int, bool]:
        return self._templates.text_number(text_of(line[: self._max_line][message_start:]))

    def take_apart(self, line: bytes, read_ns: int) -> Fields:
        """See `engine.parsing.parsed_columns.LineReader`."""
        header = self.header.read(line, read_ns)
        groups = header.match.groupdict()
        pid = groups.get("pid")
        return Fields(
            time_ns=header.time_ns,
            message=text_of(line[header.message_start :]),
            level=self.header.level(header.match),
            host=text_of(groups.get("host")),
            component=text_of(groups.get("component")),
            pid=int(pid) if pid and len(pid) <= MAX_PID_DIGITS else None,
            thread=text_of(groups.get("thread")),
            session_key=text_of(line[header.key_start : header.key_end]),
            label=text_of(groups.get("label")),
            format=self._format.name,
        )


def _line(batch: LineBatch, row: int) -> bytes:
    return batch.line(row).removesuffix(b"\r")
