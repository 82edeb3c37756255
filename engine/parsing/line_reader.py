"""Reads the lines of one partition: compiled where it can, line by line where it has to.

`engine.compiled.read` finds the format, time, session key, field places and masked message of nearly
every line. It leaves to the patterns and decoders here what only they can decide: documents, lines
that may be bad, messages beyond ASCII, and rules that cannot be compiled.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.base import LineBatch
from engine.compiled import read as compiled
from engine.compiled.memory import LineMemory
from engine.compiled.read import ASK_KEY, ASK_LEVEL, ASK_LINE, ASK_TEXT
from engine.compiled.session_key import hash_key
from engine.compiled.tables import (
    BY_CALLER,
    BY_LAYOUT,
    CONTAINER,
    LEVEL,
    LEVEL_ASKED,
    TEXT,
    TEXT_MODE,
    ClockTables,
    RowColumns,
)
from engine.compiled.words import PAD, padded
from engine.formats.base import LEVEL_NAMES, Format
from engine.formats.masks import DEFAULT_MASKS, Masker
from engine.formats.registry import AUTO, find
from engine.parsing.format_detection import NAMES, NONE, UNKNOWN_AT, FormatDetector, Preference, format_of, orders
from engine.parsing.format_tables import FormatTables
from engine.parsing.header import BadLineError, Header, HeaderReader, text_of
from engine.parsing.json_reader import DecodedLine, JsonReader
from engine.parsing.parse_settings import ParseSettings
from engine.parsing.parsed_columns import Fields, Rows
from engine.parsing.template_rules import template_rules
from engine.parsing.template_settings import TemplateSettings
from engine.parsing.templates import PartitionTemplates, StateMismatchError


class _Message(NamedTuple):
    """A message that has to be masked and numbered, and the layout that is to remember the answer."""

    row: int
    text: str
    layout: int
    kind: int


class LineReader:
    """Reads lines of one format, or of any (`format = "auto"`).

    Attributes:
        detects: Whether the format of each line is recognised.
        formats: By number.
        templates: Those of all formats.
        generation: Grows whenever numbers of masked messages begin again.
        why_slow: Why lines of a format cannot be answered by their skeleton alone, in one sentence; None where
            those of all formats can.
    """

    def __init__(self, settings: ParseSettings, saved: Mapping[str, Any] | None) -> None:
        """A new reader, or one with the templates and the preference of a snapshot.

        Raises:
            ValueError: the session rule is invalid.
            StateMismatchError: the snapshot was made under other settings.
        """
        self.detects = settings.format == AUTO
        self.formats = formats_of(settings)
        self._tables, rules, self._maskers = _built_once(settings)
        times = settings.times()
        self._headers = {
            i: HeaderReader(format, settings.session_rule(format), times)
            for i, format in enumerate(self.formats)
            if format.header is not None
        }
        self._documents = {i: JsonReader(f, settings) for i, f in enumerate(self.formats) if f.document is not None}
        self._detector = FormatDetector(self._headers, self._documents) if self.detects else None
        self._preference = Preference()
        self.why_slow = self._tables.why_slow
        self._times = times
        self._most = settings.max_message_bytes
        self._max_layouts = settings.max_shapes
        self.generation = 0
        self._memory = LineMemory(settings.max_message_bytes)
        self.templates = PartitionTemplates(rules, self._memory)
        if saved is not None:
            self._restore(saved)

    def read(self, batch: LineBatch) -> Rows:
        """Reads every line of a batch; never raises for what a line holds."""
        if len(self._memory) > self._max_layouts:
            self._memory.forget()
            self.templates.forget()
            self.generation += 1
        rows = Rows.empty(len(batch))
        columns = rows.columns()
        times = self._times
        clock = ClockTables(times.limits(batch.read_ns), times.offsets.quarters, times.offsets.seconds)
        data = padded(batch.data)
        start = 0
        while start < len(batch):
            stop = min(len(batch), start + self._preference.left()) if self.detects else len(batch)
            self._read_part(batch, data, start, stop, clock, columns, rows)
            if self.detects:
                self._preference.count(rows.format[start:stop])
            start = stop
        return rows

    def _read_part(
        self,
        batch: LineBatch,
        data: NDArray[np.uint8],
        start: int,
        stop: int,
        clock: ClockTables,
        columns: RowColumns,
        rows: Rows,
    ) -> None:
        preferred = self._preference.format if self.detects else 0
        if preferred in self._documents:
            columns.ask[start:stop] = ASK_LINE
        else:
            memory, row = self._memory, start
            while row < stop:
                row = compiled.read_lines(
                    self._tables.tables, memory.known, memory.room, clock, data, batch.ends, PAD, row, stop, preferred,
                    columns,
                )  # fmt: skip
                if row < stop:
                    memory.make_room()
        messages: list[_Message] = []
        for row in (np.flatnonzero(columns.ask[start:stop]) + start).tolist():
            line = batch.line(row).removesuffix(b"\r")
            begin = batch.start_of(row)
            if columns.ask[row] & ASK_LINE:
                likely = NONE if preferred in self._documents else int(columns.format[row])
                number, found = self._recognise(line, batch.read_ns, likely)
                messages += self._read_line(row, number, line, begin, batch.read_ns, rows, found)
            else:
                messages += self._complete(row, line, begin, columns, rows)
        self._number(messages, rows)

    def read_again(self, batch: LineBatch, changed: Sequence[int], rows: Rows) -> None:
        """Reads rows whose lines have changed once more, by the formats that they were read with."""
        messages: list[_Message] = []
        for row in changed:
            line = batch.line(row).removesuffix(b"\r")
            begin = batch.start_of(row)
            messages += self._read_line(row, int(rows.format[row]), line, begin, batch.read_ns, rows, None)
        self._number(messages, rows)

    def _recognise(self, line: bytes, read_ns: int, likely: int = NONE) -> tuple[int, DecodedLine | Header | None]:
        if self._detector is None:
            return 0, None
        return self._detector.detect(line, read_ns, self._preference.format, likely)

    def _read_line(
        self, row: int, number: int, line: bytes, begin: int, read_ns: int, rows: Rows,
        found: DecodedLine | Header | None,
    ) -> list[_Message]:  # fmt: skip
        """Fills a row by the patterns or the decoder of a format; its message, or none where the line is bad.

        `found`: what detection made of the line.
        """
        rows.format[row] = number
        try:
            if number in self._documents:
                decoded = found if isinstance(found, DecodedLine) else None
                text = self._documents[number].read(row, line, begin, read_ns, rows, decoded)[: self._most]
            else:
                header = found if isinstance(found, Header) else self._headers[number].read(line, read_ns)
                text = self._read_headed(row, number, line, begin, header, rows)
            return [_Message(row, text, -1, 0)]
        except BadLineError as reason:
            rows.bad[row] = str(reason)
            rows.container[row] = 0
            return []

    def _read_headed(self, row: int, number: int, line: bytes, begin: int, header: Header, rows: Rows) -> str:
        reader = self._headers[number]
        rows.time_ns[row] = header.time_ns
        rows.session[row] = hash_key(line[header.key_start : header.key_end])
        rows.key_start[row], rows.key_end[row] = begin + header.key_start, begin + header.key_end
        rows.container[row] = reader.container(header.match)
        rows.level[row] = LEVEL_NAMES.index(reader.level(header.match))
        rows.spans[row] = np.array(reader.spans(header.match, len(line))) + begin
        return text_of(line[header.message_start : self._most])

    def _complete(self, row: int, line: bytes, begin: int, columns: RowColumns, rows: Rows) -> list[_Message]:
        """Finds what is missing in a row that was read; its message, if that has to be masked."""
        number, layout, ask = int(rows.format[row]), int(columns.layout[row]), int(columns.ask[row])
        reader = self._headers[number]
        if ask & ASK_KEY:
            start, end = reader.key(line)
            rows.session[row] = hash_key(line[start:end])
            rows.key_start[row], rows.key_end[row] = begin + start, begin + end
        if ask & ASK_LEVEL:
            match = reader.match(line)
            rows.container[row] = reader.container(match) if self.formats[number].streams else 0
            rows.level[row] = LEVEL_NAMES.index(reader.level(match))
            if layout >= 0 and self._memory.known.layouts[layout, LEVEL] == LEVEL_ASKED:
                self._memory.known.layouts[layout, LEVEL] = rows.level[row]
                self._memory.known.layouts[layout, CONTAINER] = rows.container[row]
        if not ask & ASK_TEXT:
            return []
        kind = reader.kind(reader.match(line)) if self.formats[number].http else 0
        return [_Message(row, text_of(line[int(rows.spans[row, 0, 0]) - begin : self._most]), layout, kind)]

    def _number(self, messages: list[_Message], rows: Rows) -> None:
        """Masks messages and numbers them."""
        if not messages:
            return
        formats = rows.format[[message.row for message in messages]].astype(np.int64)
        modes = self._tables.tables.formats[:, TEXT_MODE]
        numbers = np.full(len(messages), -1, np.int32)
        by_pattern = np.array([
            modes[format] == BY_CALLER or self.formats[format].http or not message.text.isascii()
            for message, format in zip(messages, formats.tolist(), strict=True)
        ])  # fmt: skip
        while (todo := np.flatnonzero(numbers < 0)).size:
            texts = [messages[i].text for i in todo.tolist()]
            texts = [
                self.mask(format, text) if masked else text
                for text, format, masked in zip(texts, formats[todo].tolist(), by_pattern[todo].tolist(), strict=True)
            ]
            numbers[todo] = self._numbers(texts, formats[todo], by_pattern[todo])
            by_pattern[todo] = True  # where compiled masks gave up
        for message, number, format in zip(messages, numbers.tolist(), formats.tolist(), strict=True):
            rows.text[message.row] = number
            if message.layout >= 0 and modes[format] == BY_LAYOUT and not self._memory.holds_digit(number):
                self._memory.known.layouts[message.layout, TEXT + message.kind] = number

    def _numbers(self, texts: list[str], formats: NDArray[np.int64], masked: NDArray[np.bool_]) -> NDArray[np.int32]:
        """int32: the number of each message, -1 where compiled masks gave up; `masked` ones are masked already."""
        raw = [text.encode("utf-8", "surrogatepass") for text in texts]
        data, ends = padded(b"".join(raw))[PAD:], np.cumsum([len(text) for text in raw], dtype=np.int64)
        memory, found, done = self._memory, np.zeros(len(raw), np.int32), 0
        while True:
            done = compiled.number_messages(
                self._tables.tables, memory.known, memory.room, data, ends, formats, masked, done, found
            )
            if done == len(raw):
                return found
            memory.make_room(len(raw[done]))

    def take_apart(self, line: bytes, read_ns: int) -> Fields:
        """One line's fields by the patterns alone; the line is taken for the next of its source, but leaves no trace.

        Raises:
            BadLineError: it does not parse.
        """
        return self.take_apart_as(self._recognise(line, read_ns)[0], line, read_ns)

    def take_apart_as(self, number: int, line: bytes, read_ns: int) -> Fields:
        """The fields of a line of a format that is known.

        Raises:
            BadLineError: it does not parse.
        """
        reader = self._documents.get(number) or self._headers[number]
        return reader.take_apart(line, read_ns)

    def mask(self, number: int, message: str) -> str:
        """The masked message of a line of a format."""
        return self._maskers[number].mask(message)

    def values(self, number: int, message: str) -> list[tuple[str, str]]:
        """What masking takes out of the message of a line of a format, see `Masker.values`."""
        return self._maskers[number].values(message)

    def snapshot(self) -> dict[str, Any]:
        """JSON-compatible state."""
        if not self.detects:
            return self.templates.state(0)
        kept = {f.name: saved for i, f in enumerate(self.formats) if (saved := self.templates.snapshot(i)) is not None}
        return {"lanes": kept, "preference": self._preference.snapshot()}

    def progress(self) -> object:
        """Equal for two moments whose snapshots are equal."""
        return list(self.templates.versions), self._preference.snapshot()

    def _restore(self, saved: Mapping[str, Any]) -> None:
        if self.detects != ("lanes" in saved):
            kind = "one given format, not format = 'auto'" if self.detects else "detected formats (format = 'auto')"
            raise StateMismatchError(f"the saved state is of a source with {kind}")
        if not self.detects:
            self.templates.restore(0, saved)
            return
        for number, format in enumerate(self.formats):
            if format.name in saved["lanes"]:
                self.templates.restore(number, saved["lanes"][format.name])
        self._preference = Preference(saved["preference"])


def formats_of(settings: ParseSettings) -> tuple[Format, ...]:
    """The formats of a parser with these settings, by number."""
    return tuple(map(format_of, range(len(NAMES)))) if settings.format == AUTO else (find(settings.format),)


class _BuiltOnce(NamedTuple):
    """What the readers of all files and partitions share, since it never changes: by format, rules and maskers."""

    tables: FormatTables
    rules: Sequence[TemplateSettings]
    maskers: Sequence[Masker]


@lru_cache(maxsize=256)  # more than there are formats
def _built_once(settings: ParseSettings) -> _BuiltOnce:
    formats = formats_of(settings)
    rules = [template_rules(format, settings) for format in formats]
    own = frozenset(settings.templates.masks) - frozenset(DEFAULT_MASKS)
    maskers = [Masker(r.masks, http=f.http, own=own) for r, f in zip(rules, formats, strict=True)]
    sessions = [settings.session_rule(format) if format.header is not None else () for format in formats]
    tried = [(*row, UNKNOWN_AT) for row in orders()] if settings.format == AUTO else [(0,)]
    return _BuiltOnce(FormatTables(formats, sessions, [r.masks for r in rules], tried), rules, maskers)
