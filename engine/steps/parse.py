"""Parse: raw lines to event time, template id and session key, as columns.

One `Parser` owns the templates of one partition. For a batch

1. entries of systemd's journal in its export format become one line each (`engine.parsing.journal`);
2. colour codes and byte order marks are taken out (`engine.parsing.sanitize`);
3. a lane takes every line apart, the one of the format given or the one of the format recognised
   (`engine.parsing.format_router`): by the line's shape where that is known (`engine.parsing.layout_reader`),
   or one by one (`engine.parsing.json_reader`);
4. what a container runtime wrote in pieces becomes one line each (`engine.parsing.line_reassembly`);
5. what is left of stack traces joins the record before it (`engine.parsing.continuation`);
6. the good lines get their templates, in line order (`engine.parsing.templates`).

A line that fails becomes a dead letter and touches no other line, also not through the templates.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from connectors.base import LineBatch
from engine.formats.registry import AUTO, UNKNOWN, find
from engine.parsing.continuation import NONE_OPEN, PASSED_OVER, Candidates, Joiner, Open
from engine.parsing.format_router import DetectedLanes, Lanes, OneLane, read_again
from engine.parsing.header import BadLine, text_of
from engine.parsing.journal import JOURNALD, JournalEntries, batch_of
from engine.parsing.line_reassembly import Pieces, with_lines
from engine.parsing.parse_settings import ParseSettings
from engine.parsing.parsed_columns import LEVEL_BY_LINE, LEVEL_NAMES, STREAM, TRACE, Describe, Fields, Rows
from engine.parsing.sanitize import clean_batch, clean_line
from engine.parsing.templates import StateMismatch
from engine.records import ParsedLines

__all__ = ["BadLine", "Fields", "ParseSettings", "Parser", "StateMismatch", "line_labels"]


class Parser:
    """Parses the lines of one partition, in order.

    Attributes:
        cluster: int32 (n,): Drain's own cluster number of each good line of the last batch, among
            those of the line's format, for comparison with other implementations; it means nothing
            outside this object.
        found: Everything that was read of the lines of the last batch, see `engine.parsing.parsed_columns.Rows`.
        joined: Row → stream of its record (see `stream_of`), for rows of the last batch that joined a record
            before them, ascending.
        pieces: Rows of the last batch that are part of a line further on.
        max_join_lines: A row joins no record that began more rows before it.
        why_slow: Why lines cannot be answered by shape, in one sentence; None where they can.
    """

    def __init__(
        self, settings: ParseSettings, describe: Describe, snapshot: bytes | None = None, *, fields: bool = False
    ) -> None:
        """A parser without templates, or with those of a snapshot.

        Args:
            settings: How lines are read.
            describe: Puts a place into words, for dead letters.
            snapshot: What `snapshot` gave.
            fields: Whether `found` shall hold levels and the places of header fields.

        Raises:
            ValueError: the session rule is none.
            StateMismatch: the snapshot was made under other template settings.
        """
        self._describe = describe
        saved = None if snapshot is None else orjson.loads(snapshot)
        self._lanes: Lanes
        if settings.format == AUTO:
            self._lanes = DetectedLanes(settings, saved, fields=fields)
        else:
            self._lanes = OneLane(find(settings.format), settings, saved, fields=fields)
        lanes = self._lanes.lanes
        self.formats = tuple(lane.format.name for lane in lanes)
        self._joins = np.array([lane.format.joins for lane in lanes])
        self._unknown = self.formats.index(UNKNOWN) if UNKNOWN in self.formats else -1
        self._wrapped = any(lane.format.streams for lane in lanes)
        self._pieces = Pieces(settings.max_join_bytes, () if saved is None else saved.get("pieces", ()))
        self._journal = None
        if settings.format in (AUTO, JOURNALD):
            journal = "" if saved is None else saved.get("journal", "")
            self._journal = JournalEntries(settings.max_join_bytes, journal.encode("latin-1"))
        tail = None if saved is None else saved.get("tail")
        self._tail = None if tail is None else _nothing_more(*tail)
        self._joiner = Joiner(settings.max_join_lines, settings.max_join_bytes, *_open(saved or {}))
        self.max_join_lines = settings.max_join_lines
        reasons = (lane.reader.why_slow or lane.templates.why_slow for lane in lanes)
        self.why_slow = next((reason for reason in reasons if reason), None)
        self.cluster: NDArray[np.int32] = np.zeros(0, np.int32)
        self.found = Rows.empty(0)
        self.joined: dict[int, int] = {}
        self.pieces: list[int] = []
        self._saved: tuple[object, bytes] | None = None
        self._announced: set[int] = set()

    def parse(self, batch: LineBatch) -> ParsedLines:
        """Takes a batch apart; never raises for what a line holds.

        What the source itself refused (`LineBatch.rejects`) comes first in `bad`, so that nothing
        behind the parser needs to look for bad lines in two places.
        """
        if len(batch) and (self._wrapped or self._journal is not None):
            self._tail = batch
        if self._journal is not None:
            batch = self._journal.join(batch)
        return self._parse(batch)

    def finish(self) -> ParsedLines | None:
        """What the end of the source completes, asked for once; None where nothing is open."""
        rest = self._pieces.rest()
        if self._tail is None:
            return None
        if self._journal is not None and self._journal.open:
            rest.append(self._journal.rest(self._tail))
        return self._parse(batch_of(replace(self._tail, rejects=()), rest)) if rest else None

    def _parse(self, batch: LineBatch) -> ParsedLines:
        for lane in self._lanes.lanes:
            lane.reader.trim()
        raw, batch = batch, clean_batch(batch)
        found = self.found = self._lanes.read(batch)
        self.pieces = []
        wrapped = self._wrapped and bool(found.container.any())
        if wrapped:
            raw, batch = self._put_together(raw, batch, found)
        keep = self._join(batch, found, wrapped=wrapped)
        rows = np.flatnonzero(keep) if keep is not None else np.arange(len(batch))
        at: NDArray[np.int64] | slice = slice(None) if keep is None else rows
        template = self._assign(found, rows, at)
        return ParsedLines(
            lines=batch,
            rows=rows.astype(np.int32),
            time_ns=found.time_ns[at],
            template=template,
            session=found.session[at],
            key_start=found.key_start[at].astype(np.int32),
            key_end=found.key_end[at].astype(np.int32),
            templates=self._take_new(),
            bad=batch.rejects + found.letters(raw, self._describe),
        )

    def _join(self, batch: LineBatch, found: Rows, *, wrapped: bool) -> NDArray[np.bool_] | None:
        """Which rows are records of their own, bool (n,), or None where all are; joined rows are no longer bad."""
        failed = set(found.bad)
        joins = self._joins[found.format]
        unknown = found.format == self._unknown
        if found.bad:
            unknown[list(found.bad)] = False
        failed.update(np.flatnonzero(unknown).tolist())
        stream, traces = None, []
        if wrapped:
            stream = found.container & np.int8(STREAM)
            stream[self.pieces] = PASSED_OVER
            traces = np.flatnonzero((found.container & TRACE > 0) & (stream > 0)).tolist()

        def text(row: int) -> bytes:
            return batch.line(row) if row in failed else self.joined_text(batch, row).encode("utf-8", "surrogatepass")

        candidates = Candidates(len(batch), sorted(failed), joins, unknown, text, stream, tuple(traces))
        self.joined = self._joiner.join(candidates)
        for row in self.joined:
            found.bad.pop(row, None)
        dropped = [*self.pieces, *self.joined, *found.bad]
        if not dropped:
            return None
        keep = np.ones(len(batch), np.bool_)
        keep[dropped] = False
        return keep

    def _put_together(self, raw: LineBatch, batch: LineBatch, found: Rows) -> tuple[LineBatch, LineBatch]:
        """Both batches with whole lines at the rows of their last pieces, and what is found in them."""
        lines = self._pieces.join(batch, found, self.formats)
        self.pieces = self._pieces.rows
        if not lines:
            return raw, batch
        whole = with_lines(batch, lines)
        read_again(self._lanes.lanes, batch, whole, np.array(sorted(lines)), found)
        return whole if raw is batch else with_lines(raw, lines), whole

    def _assign(self, found: Rows, rows: NDArray[np.int64], at: NDArray[np.int64] | slice) -> NDArray[np.int64]:
        lanes = self._lanes.lanes
        if len(lanes) == 1:
            template, self.cluster = lanes[0].templates.assign(found.text[at])
            return template
        template, self.cluster = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int32)
        formats, texts = found.format[at], found.text[at]
        for number in np.unique(formats).tolist():
            mine = formats == number
            template[mine], self.cluster[mine] = lanes[number].templates.assign(texts[mine])
        return template

    def _take_new(self) -> dict[int, str]:
        """Texts not announced before; two lanes may know the same one."""
        lanes = self._lanes.lanes
        if len(lanes) == 1:
            return lanes[0].templates.take_new()
        new: dict[int, str] = {}
        for lane in lanes:
            new |= {key: text for key, text in lane.templates.take_new().items() if key not in self._announced}
        self._announced.update(new)
        return new

    def take_apart(self, line: bytes, read_ns: int) -> Fields:
        """One line's fields, without its template: the plain way, which `parse` agrees with.

        Raises:
            BadLine: the line does not parse.
        """
        return self._lanes.take_apart(clean_line(line), read_ns)

    def take_row_apart(self, batch: LineBatch, row: int) -> Fields:
        """The fields of a good line of the last batch, by the format that it was read with.

        Raises:
            BadLine: the line is not good.
        """
        lane = self._lanes.lanes[int(self.found.format[row])]
        return lane.reader.take_apart(batch.line(row).removesuffix(b"\r"), batch.read_ns)

    def joined_text(self, batch: LineBatch, row: int) -> str:
        """What a row of the last batch that joined a record adds to its message."""
        if len(self.found.container) and self.found.container[row]:
            return self.take_row_apart(batch, row).message
        return text_of(batch.line(row).removesuffix(b"\r"))

    def stream_of(self, row: int) -> int:
        """The stream of a good line of the last batch: 1 or 2 where a container wrote it, else 0."""
        return int(self.found.container[row]) & STREAM if len(self.found.container) else 0

    def levels(self, parsed: ParsedLines) -> NDArray[np.int8]:
        """int8 (n,): index into `engine.parsing.parsed_columns.LEVEL_NAMES` for each good line of the last batch."""
        levels = self.found.level[parsed.rows]
        for i in np.flatnonzero(levels == LEVEL_BY_LINE).tolist():
            levels[i] = LEVEL_NAMES.index(self.take_row_apart(parsed.lines, int(parsed.rows[i])).level)
        return levels

    def masked(self, fields: Fields) -> str:
        """The masked message of a line that was taken apart, as its template is mined from it."""
        return self._lanes.lanes[self.formats.index(fields.format)].templates.mask(fields.message)

    def texts_of(self, row: int, template: int) -> tuple[str, str]:
        """Text of the template and masked message of a good line of the last batch."""
        templates = self._lanes.lanes[int(self.found.format[row])].templates
        return templates.text(template), templates.masked(int(self.found.text[row]))

    @property
    def template_count(self) -> int:
        """Templates known to this partition, over all formats."""
        return sum(len(lane.templates) for lane in self._lanes.lanes)

    def snapshot(self) -> bytes:
        """The state as JSON; the same bytes object as long as it does not change."""
        lanes = self._lanes
        journal = b"" if self._journal is None else self._journal.open
        versions = [lane.templates.version for lane in lanes.lanes], self._pieces.version
        key = (versions, self._joiner.open, self._joiner.last, lanes.progress(), journal)
        if self._saved is None or self._saved[0] != key:
            lines, *streams = map(list, self._joiner.open)
            more: dict[str, Any] = {"open": lines, "journal": journal.decode("latin-1")}
            if self._wrapped:
                more |= {"streams": streams, "last": self._joiner.last, "pieces": self._pieces.snapshot()}
            if self._tail is not None and (journal or more.get("pieces")):
                tail = self._tail
                more["tail"] = [tail.partition, int(tail.positions[-1]), tail.read_ns, tail.produced_ns]
            self._saved = key, orjson.dumps({**lanes.snapshot(), **more})
        return self._saved[1]


def _open(saved: Mapping[str, Any]) -> tuple[tuple[Open, ...], int]:
    """The open records of a snapshot, and the stream of the last of them."""
    if "open" not in saved:
        return NONE_OPEN, 0
    streams = saved.get("streams", NONE_OPEN[1:])
    return (Open(*saved["open"]), *(Open(*stream) for stream in streams)), saved.get("last", 0)


def _nothing_more(partition: str, position: int, read_ns: int, produced_ns: int) -> LineBatch:
    """The last batch before a restart as far as `Parser.finish` needs it."""
    return LineBatch(partition, b"", np.zeros(0, np.int64), np.array([position], np.int64), read_ns, produced_ns)


def line_labels(format: str, parsed: ParsedLines) -> NDArray[np.bool_] | None:
    """Which good lines are labelled anomalous, bool (n,); None for formats without a label column.

    For data sets only: the label column is the truth to be learnt, never an input of a model.
    """
    entry = find(format)
    if entry.normal_label is None or entry.header is None:
        return None
    found = np.zeros(len(parsed), np.bool_)
    for i, row in enumerate(parsed.rows.tolist()):
        match = entry.header.match(parsed.lines.line(row))
        label = match["label"] if match else None
        found[i] = entry.unlabelled_is_anomalous if label is None else label != entry.normal_label
    return found
