"""Parse: raw lines to event time, template id and session key, as columns.

One `Parser` owns the templates of one partition. For a batch

1. entries of systemd's journal in its export format (`engine.parsing.journal`) and other records over several
   lines (`engine.parsing.record_blocks`) become one line each;
2. colour codes and byte order marks are taken out (`engine.parsing.sanitize`);
3. every line is taken apart, by the format given or the one recognised (`engine.parsing.line_reader`);
4. lines that a container runtime wrote in pieces become one line each (`engine.parsing.line_reassembly`);
5. the rest of each stack trace joins the record before it (`engine.parsing.continuation`);
6. records without a time get that of a record near them (`engine.parsing.undated`);
7. the good lines get their templates, in line order (`engine.parsing.templates`).

A line that fails becomes a dead letter and touches no other line, also not through the templates.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from connectors.base import LineBatch
from engine.parsing.compile_loops import compile_loops
from engine.parsing.continuation import ANY, NONE_OPEN, PASSED_OVER, TRACES, Candidates, Joiner, Open
from engine.parsing.following_lines import FollowingLines
from engine.parsing.format_detection import UNKNOWN_AT
from engine.parsing.header import BadLineError
from engine.parsing.journal import JOURNALD, JournalEntries, batch_of
from engine.parsing.line_reader import LineReader
from engine.parsing.line_reassembly import LineReassembler, starts, with_lines
from engine.parsing.parse_settings import ParseSettings
from engine.parsing.parsed import Parsed
from engine.parsing.parsed_columns import STREAM, TRACE, Describe, Fields, Rows
from engine.parsing.record_blocks import RecordBlocks
from engine.parsing.repeated_hour import RepeatedHour
from engine.parsing.sanitize import clean_batch, clean_line
from engine.parsing.templates import StateMismatchError
from engine.parsing.undated import UndatedRecords
from engine.records import ParsedLines

__all__ = ["BadLineError", "Fields", "ParseSettings", "Parsed", "Parser", "StateMismatchError"]


class Parser:
    """Parses the lines of one partition, in order.

    Attributes:
        formats: Names of the formats by number.
        max_join_lines: A row joins no record that began more rows before it.
        why_slow: Why lines cannot be answered by shape, in one sentence; None where they can.
    """

    def __init__(self, settings: ParseSettings, describe: Describe, snapshot: bytes | None = None) -> None:
        """A parser without templates, or with those of a snapshot.

        Args:
            settings: How lines are read.
            describe: Text of a place, for dead letters.
            snapshot: What `snapshot` gave.

        Raises:
            ValueError: the session rule is invalid.
            StateMismatchError: the snapshot was made under other template settings.
        """
        compile_loops()
        self._describe = describe
        saved = None if snapshot is None else orjson.loads(snapshot)
        self._reader = LineReader(settings, saved)
        formats = self._reader.formats
        self.formats = tuple(format.name for format in formats)
        self._joins = np.array([ANY if f.keeps else TRACES if f.joins else 0 for f in formats], np.int8)
        self._following = FollowingLines(formats, None if saved is None else saved.get("same"))
        self._unknown = UNKNOWN_AT if self._reader.detects else -1
        self._wrapped = any(format.streams for format in formats)
        self._pieces = LineReassembler(settings.max_join_bytes, () if saved is None else saved.get("pieces", ()))
        self._journal = None
        if self._reader.detects or settings.format == JOURNALD:
            journal = "" if saved is None else saved.get("journal", "")
            self._journal = JournalEntries(settings.max_join_bytes, journal.encode("latin-1"))
        self._blocks = RecordBlocks(settings.format, None if saved is None else saved.get("blocks"))
        latest_ns, second = (saved or {}).get("repeated", (0, False))
        self._repeated = RepeatedHour(settings.timezone, latest_ns, second=second)
        self._undated = UndatedRecords(*(saved or {}).get("undated", ()))
        tail = None if saved is None else saved.get("tail")
        self._tail = None if tail is None else _nothing_more(*tail)
        self._joiner = Joiner(settings.max_join_lines, settings.max_join_bytes, *_open(saved or {}))
        self.max_join_lines = settings.max_join_lines
        self.why_slow = self._reader.why_slow
        self._saved: tuple[object, bytes] | None = None

    def parse(self, batch: LineBatch) -> Parsed:
        """Parse a batch; the content of a line never raises an error.

        Lines that the source rejected (`LineBatch.rejects`) come first in `good.bad`, so that later steps
        find all bad lines in one place.
        """
        if len(batch):
            self._tail = batch
        if self._journal is not None:
            batch = self._journal.join(batch)
        return self._parse(self._blocks.join(batch))

    @property
    def waits(self) -> bool:
        """Whether lines are held for the rest of their record, see `flush`."""
        return self._blocks.waits

    def flush(self) -> Parsed | None:
        """Parse what is held of a record over several lines, as if no further line came; None where nothing is."""
        batch = None if self._tail is None else self._blocks.flush(self._tail)
        return None if batch is None else self._parse(batch)

    def finish(self) -> Parsed | None:
        """Lines that the end of the source completes, to be called once; None where nothing is open."""
        rest = self._pieces.rest()
        if self._tail is None:
            return None
        if self._journal is not None and self._journal.open:
            rest.append(self._journal.rest(self._tail))
        if (held := self._blocks.flush(self._tail)) is not None:
            rest += [(int(held.positions[i]), held.line(i)) for i in range(len(held))]
        return self._parse(batch_of(replace(self._tail, rejects=()), rest)) if rest else None

    def _parse(self, batch: LineBatch) -> Parsed:
        raw, batch = batch, clean_batch(batch)
        found = self._reader.read(batch)
        pieces: list[int] | None = None
        if self._wrapped and found.container.any():
            raw, batch, pieces = self._reassemble(raw, batch, found)
        joined = self._join(batch, found, pieces)
        keep = _kept(len(batch), *(pieces or ()), *joined, *found.bad)
        rows = np.flatnonzero(keep) if keep is not None else np.arange(len(batch))
        at: NDArray[np.int64] | slice = slice(None) if keep is None else rows
        times = found.time_ns[at]
        undated = times == batch.read_ns
        self._repeated.correct(times)
        times, timeless = self._undated.date(times, undated, batch.read_ns)
        template, cluster = self._reader.templates.assign(found.text[at])
        good = ParsedLines(
            lines=batch,
            rows=rows.astype(np.int32),
            time_ns=times,
            template=template,
            session=found.session[at],
            key_start=found.key_start[at].astype(np.int32),
            key_end=found.key_end[at].astype(np.int32),
            templates=self._reader.templates.take_new(),
            bad=batch.rejects + found.letters(raw, self._describe),
            timeless=timeless,
        )
        return Parsed(good, found, cluster, joined, tuple(pieces or ()), self._reader.generation, self._reader)

    def _join(self, batch: LineBatch, found: Rows, pieces: list[int] | None) -> dict[int, int]:
        """Row → stream, for rows that join the record before them; these are no longer bad.

        `pieces` is None where no line was wrapped by a container.
        """
        failed = set(found.bad)
        joins = self._joins[found.format]
        unknown = found.format == self._unknown
        if found.bad:
            unknown[list(found.bad)] = False
        failed.update(np.flatnonzero(unknown).tolist())
        stream, traces = None, []
        if pieces is not None:
            stream = found.container & np.int8(STREAM)
            stream[pieces] = PASSED_OVER
            traces = np.flatnonzero((found.container & TRACE > 0) & (stream > 0)).tolist()

        def text(row: int) -> bytes:
            line = batch.line(row)
            if row in failed:
                return line
            fields = self._reader.take_apart_as(int(found.format[row]), line.removesuffix(b"\r"), batch.read_ns)
            return fields.message.encode("utf-8", "surrogatepass")

        following = self._following.rows(batch, found.format, failed)
        candidates = Candidates(len(batch), sorted(failed), joins, unknown, text, stream, tuple(traces), following)
        joined = self._joiner.join(candidates)
        for row in joined:
            found.bad.pop(row, None)
        return joined

    def _reassemble(self, raw: LineBatch, batch: LineBatch, found: Rows) -> tuple[LineBatch, LineBatch, list[int]]:
        """Both batches with whole lines at the rows of their last pieces, and the rows of the other pieces."""
        lines, pieces = self._pieces.join(batch, found, self.formats)
        if not lines:
            return raw, batch, pieces
        whole = with_lines(batch, lines)
        found.move(starts(whole) - starts(batch))
        self._reader.read_again(whole, sorted(lines), found)
        return whole if raw is batch else with_lines(raw, lines), whole, pieces

    def take_apart(self, line: bytes, read_ns: int) -> Fields:
        """One line's fields, without its template, read by the patterns alone; `parse` gives the same.

        Raises:
            BadLineError: the line does not parse.
        """
        return self._reader.take_apart(clean_line(line), read_ns)

    def masked(self, fields: Fields) -> str:
        """The masked message of a line that was taken apart, as its template is mined from it."""
        return self._reader.mask(self.formats.index(fields.format), fields.message)

    def snapshot(self) -> bytes:
        """The state as JSON; the same bytes object as long as nothing that matters changes."""
        journal = b"" if self._journal is None else self._journal.open
        repeated = self._repeated.latest_ns, self._repeated.second
        key = (
            self._reader.progress(),
            self._pieces.version,
            self._blocks.version,
            self._joiner.open,
            self._joiner.last,
            journal,
            self._following.same,
            repeated,
            self._undated.progress(),
        )
        if self._saved is None or self._saved[0] != key:
            lines, *streams = map(list, self._joiner.open)
            more: dict[str, Any] = {"open": lines, "journal": journal.decode("latin-1")}
            more |= {"same": self._following.same, "repeated": repeated, "undated": self._undated.snapshot()}
            if self._wrapped:
                more |= {"streams": streams, "last": self._joiner.last, "pieces": self._pieces.snapshot()}
            if blocks := self._blocks.snapshot():
                more["blocks"] = blocks
            if self._tail is not None and (journal or blocks or more.get("pieces")):
                tail = self._tail
                more["tail"] = [tail.partition, int(tail.positions[-1]), tail.read_ns, tail.produced_ns]
            self._saved = key, orjson.dumps({**self._reader.snapshot(), **more})
        return self._saved[1]


def _kept(count: int, *dropped: int) -> NDArray[np.bool_] | None:
    """Bool (count,), False for dropped rows; None where none is dropped."""
    if not dropped:
        return None
    keep = np.ones(count, np.bool_)
    keep[list(dropped)] = False
    return keep


def _open(saved: Mapping[str, Any]) -> tuple[tuple[Open, ...], int]:
    """The open records of a snapshot, and the stream of the last of them."""
    if "open" not in saved:
        return NONE_OPEN, 0
    streams = saved.get("streams", NONE_OPEN[1:])
    return (Open(*saved["open"]), *(Open(*stream) for stream in streams)), saved.get("last", 0)


def _nothing_more(partition: str, position: int, read_ns: int, produced_ns: int) -> LineBatch:
    """The last batch before a restart as far as `Parser.finish` needs it."""
    return LineBatch(partition, b"", np.zeros(0, np.int64), np.array([position], np.int64), read_ns, produced_ns)
