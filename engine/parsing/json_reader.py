"""The reader of documents, such as JSON: see `engine.formats.json_fields` for what it takes from a line."""

import datetime as dt
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from engine.compiled.inner_level import level_within
from engine.compiled.session_key import hash_key
from engine.formats.base import LEVEL_NAMES
from engine.formats.document_message import composed_message, with_status
from engine.formats.field_names import LEVEL, fields_of, times_of
from engine.formats.json_fields import field_of, pick, place_of, scalar_text, texts_inside, with_written_numbers
from engine.formats.registry import LEVELS, Format
from engine.formats.time_values import time_ns
from engine.formats.timestamps import BadTimeError
from engine.parsing.continuation import CONTINUATION
from engine.parsing.header import MAX_PID_DIGITS, BadLineError, check_text
from engine.parsing.parse_settings import ParseSettings
from engine.parsing.parsed_columns import PIECE, TRACE, Fields, Rows

DRIVER_FIELDS = frozenset({"log", "stream", "time", "attrs"})
"""Fields of a line of Docker's json-file driver. Collectors add others, and mix the lines of many containers."""

_EARLIEST_NS = 946_684_800 * 1_000_000_000
"""2000-01-01: what a field with any other name holds is a time only if it is later."""

PIECE_BYTES = 16_384
"""Bytes of a piece of a line: the driver's buffer (`defaultBufSize` in moby's daemon/logger/copier.go)."""


class DecodedLine(NamedTuple):
    """A document and its fields."""

    document: dict[str, Any]
    fields: Fields


class JsonReader:
    """Reads the lines of one format of documents."""

    def __init__(self, format: Format, settings: ParseSettings) -> None:
        if format.document is None:
            raise ValueError(f"format {format.name} has no documents")
        session = {"session": settings.json_fields.session}
        self._name = format.name
        self._streams = {stream: number for number, stream in enumerate(format.streams, start=1)}
        self._decode = format.document.decode
        self._composes = format.document.composes
        self._fields = (
            settings.json_fields if format.name == "json" else format.document.fields.model_copy(update=session)
        )
        self._used = frozenset(name for names in self._fields.model_dump().values() for name in names) - frozenset(
            self._fields.message
        )
        self._levels = {**LEVELS, **format.levels}
        self._zone: dt.tzinfo = ZoneInfo(settings.timezone)
        self._times = settings.times()

    def read(
        self, row: int, line: bytes, begin: int, read_ns: int, rows: Rows, decoded: DecodedLine | None = None
    ) -> str:
        """Fills a row, apart from its text; returns the message.

        Args:
            row: The row.
            line: Without its line end and a final carriage return.
            begin: Where the line begins in the batch.
            read_ns: When it was read.
            rows: Filled here.
            decoded: What `decoded` gives for the line, if it is known.

        Raises:
            BadLineError: the line does not parse.
        """
        document, fields = decoded or self.decoded(line, read_ns)
        rows.time_ns[row] = fields.time_ns
        rows.container[row] = self._container(document, fields.message) if self._streams else 0
        rows.fields[row], rows.level[row] = fields, LEVEL_NAMES.index(fields.level)
        rows.key_start[row] = rows.key_end[row] = begin
        if fields.session_key:
            rows.session[row] = hash_key(fields.session_key.encode("utf-8", "surrogatepass"))
            first, last = place_of(line, fields.session_key)
            rows.key_start[row], rows.key_end[row] = begin + first, begin + last
        return fields.message

    def _level(self, document: dict[str, Any], message: str) -> str:
        if self._streams:
            return level_within(message.encode("utf-8", "backslashreplace"))
        number = ""
        for name in self._fields.level:
            word = scalar_text(pick(document, (name,)))
            if word and (level := self._levels.get(word.upper())):
                if not word[0].isdecimal():
                    return level
                number = number or level
        if not self._composes:
            return number
        words = chain(self._inside(document, "level"), (value for _, value in fields_of(document, LEVEL)))
        texts = (word.upper() for word in words if isinstance(word, str) and not word.isdecimal())
        return next((level for text in texts if (level := self._levels.get(text))), number)

    def _inside(self, document: dict[str, Any], kind: str) -> Iterator[str]:
        return texts_inside(document, kind) if self._composes else iter(())

    def _container(self, document: dict[str, Any], message: str) -> int:
        """See `engine.parsing.parsed_columns.Rows.container`.

        A line that has no end and is shorter than a piece is whole: the container ended there, or
        something has taken the line end away.
        """
        stream = document.get("stream") if document.keys() <= DRIVER_FIELDS else None
        if not isinstance(stream, str) or stream not in self._streams:
            return 0
        text = message.encode()
        piece = len(text) >= PIECE_BYTES and not document["log"].endswith("\n")
        return self._streams[stream] | (PIECE if piece else 0) | (TRACE if CONTINUATION.match(text) else 0)

    def take_apart(self, line: bytes, read_ns: int) -> Fields:
        """The fields of a line.

        Raises:
            BadLineError: it does not parse.
        """
        return self.decoded(line, read_ns).fields

    def decoded(self, line: bytes, read_ns: int, document: dict[str, Any] | None = None) -> DecodedLine:
        """The document of a line and its fields.

        Args:
            line: The line.
            read_ns: When it was read.
            document: What the decoder of the format makes of the line, if it is known.

        Raises:
            BadLineError: the line does not parse, or has no message or no time that can be used.
        """
        if document is None:
            document = self._document(line)
        if any(isinstance(field_of(document, name), float) for name in self._fields.session):
            document = with_written_numbers(line, document)
        return DecodedLine(document, self._of_document(document, read_ns))

    def _document(self, line: bytes) -> dict[str, Any]:
        check_text(line)
        document = self._decode(line)
        if isinstance(document, str):
            raise BadLineError(f"does not match format {self._name}: {document}")
        return document

    def _message(self, document: dict[str, Any]) -> str:
        message = scalar_text(pick(document, self._fields.message))
        if not self._composes:
            if message is None:
                raise BadLineError(f"has no message: looked in {', '.join(self._fields.message)}")
            return message
        message = message or next(self._inside(document, "message"), None)
        return with_status(message or composed_message(document, self._used), document)

    def _time(self, document: dict[str, Any], read_ns: int) -> int:
        for name in self._fields.time:
            if (moment := time_ns(pick(document, (name,)), self._zone)) is not None:
                nanos = pick(document, ("instant.nanoOfSecond",)) if name == "instant.epochSecond" else 0
                return moment + nanos if isinstance(nanos, int) else moment
        if self._composes:
            for value in chain(self._inside(document, "time"), times_of(document)):
                moment = time_ns(value, self._zone)
                if moment is not None and _EARLIEST_NS < moment <= self._times.latest_ns(read_ns):
                    return moment
            return read_ns
        raw = pick(document, self._fields.time)
        found = "found none" if raw is None else f"cannot read {raw!r:.60}"
        raise BadLineError(f"has no time: looked in {', '.join(self._fields.time)}, {found}")

    def _of_document(self, document: dict[str, Any], read_ns: int) -> Fields:
        message = self._message(document)
        moment = self._time(document, read_ns)
        try:
            self._times.check(moment, read_ns)
        except BadTimeError as reason:
            raise BadLineError(str(reason)) from None
        names = self._fields
        pid = scalar_text(pick(document, names.pid)) or ""
        return Fields(
            moment,
            message.rstrip("\r\n"),
            level=self._level(document, message),
            host=scalar_text(pick(document, names.host)) or next(self._inside(document, "host"), ""),
            component=scalar_text(pick(document, names.component)) or next(self._inside(document, "component"), ""),
            pid=int(pid) if pid.isascii() and pid.isdecimal() and len(pid) <= MAX_PID_DIGITS else None,
            session_key=scalar_text(pick(document, names.session)) or "",
            format=self._name,
        )
