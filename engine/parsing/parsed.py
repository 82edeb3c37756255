"""Everything that the parser found in one batch, as one value that stays valid."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.compiled.scan import hash_spans
from engine.compiled.session_key import hash_key
from engine.compiled.words import padded
from engine.formats.base import LEVEL_NAMES, Format
from engine.parsing.header import text_of
from engine.parsing.line_reader import LineReader
from engine.parsing.parsed_columns import SPANNED, STREAM, Fields, Rows
from engine.records import ParsedLines

Number = TypeVar("Number", np.int8, np.int16, np.int32, np.int64)


@dataclass(frozen=True, slots=True)
class Parsed:
    """The lines of one batch, taken apart.

    Columns come in two lengths: those of `rows` have one entry per line of the batch, those of `good` and
    everything that a method here returns have one entry per good line, in the same order.

    Attributes:
        good: The good lines, as windows need them: time, template, session key.
        rows: The columns of every line: format, level, places of fields.
        cluster: int32 (n,): Drain's number of each good line's cluster among those of the line's format.
        joined: Row → stream of its record, ascending, for rows that joined a record before them.
        pieces: Rows that are part of a line further down.
        generation: Grows whenever the numbers in `rows.text` begin again.
        reader: What read the lines; knows the formats by number.
        level_names: Level by number, see `Rows.level`.
    """

    good: ParsedLines
    rows: Rows
    cluster: NDArray[np.int32]
    joined: Mapping[int, int]
    pieces: tuple[int, ...]
    generation: int
    reader: LineReader
    level_names: ClassVar[tuple[str, ...]] = LEVEL_NAMES

    def __len__(self) -> int:
        return len(self.good)

    @property
    def formats(self) -> tuple[Format, ...]:
        """Format by number, see `Rows.format`."""
        return self.reader.formats

    def format(self) -> NDArray[np.int16]:
        """int16 (n,): index into `formats`."""
        return self._of_good(self.rows.format)

    def level(self) -> NDArray[np.int8]:
        """int8 (n,): index into `level_names`."""
        return self._of_good(self.rows.level)

    def _of_good(self, column: NDArray[Number]) -> NDArray[Number]:
        """The rows of a column that belong to good lines; the column itself if all do."""
        return column if len(column) == len(self) else column[self.good.rows]

    def undated(self) -> int:
        """Good lines without a time that can be read; they have the time of reading."""
        return int(np.count_nonzero(self.good.time_ns == self.good.lines.read_ns))

    def texts(self, name: str) -> list[bytes | str]:
        """A field of every good line, empty where a line has none.

        Args:
            name: One of `engine.parsing.parsed_columns.SPANNED`.

        Returns:
            The line's bytes; text where the field is a decoded value of a document.
        """
        data, rows = self.good.lines.data, self.good.rows
        found: list[bytes | str] = [data[a:b] for a, b in self.rows.spans[rows, SPANNED.index(name)].tolist()]
        if self.rows.fields:
            for i, row in enumerate(rows.tolist()):
                if (fields := self.rows.fields.get(row)) is not None:
                    value = getattr(fields, name)
                    found[i] = "" if value is None else str(value)
        return found

    def messages(self) -> list[str]:
        """The message of every good line."""
        return [found if isinstance(found, str) else text_of(found) for found in self.texts("message")]

    def hashes(self, name: str) -> NDArray[np.int64]:
        """int64 (n,): the hash of a field of every good line, see `engine.compiled.session_key`; 0 if it has none.

        Args:
            name: One of `engine.parsing.parsed_columns.SPANNED`.
        """
        found = np.zeros(len(self), np.int64)
        start, end = self._of_good(self.rows.spans[:, SPANNED.index(name)]).T
        index = np.flatnonzero(end > start)
        if len(index):
            hashes = np.zeros(len(index), np.int64)
            hash_spans(padded(self.good.lines.data), start[index], end[index], hashes)
            found[index] = hashes
        if self.rows.fields:
            for i, row in enumerate(self.good.rows.tolist()):
                if (fields := self.rows.fields.get(row)) is not None and (value := getattr(fields, name)):
                    found[i] = hash_key(str(value).encode("utf-8", "surrogatepass"))
        return found

    def fields(self, row: int) -> Fields:
        """All fields of a row that was read.

        Raises:
            engine.parsing.header.BadLineError: the row is one of `rows.bad`.
        """
        if (fields := self.rows.fields.get(row)) is not None:
            return fields
        lines = self.good.lines
        line = lines.line(row).removesuffix(b"\r")
        return self.reader.take_apart_as(int(self.rows.format[row]), line, lines.read_ns)

    def masked(self, i: int) -> str:
        """The masked message of a good line, from which its template was mined."""
        row = int(self.good.rows[i])
        return self.reader.mask(int(self.rows.format[row]), self.fields(row).message)

    def values(self, i: int) -> list[tuple[str, str]]:
        """What the masks took out of a good line's message: name of the mask and text, in the order of the message.

        Costs about 20 µs a line, so ask for a sample.
        """
        row = int(self.good.rows[i])
        return self.reader.values(int(self.rows.format[row]), self.fields(row).message)

    def joined_text(self, row: int) -> str:
        """The text that a row adds to the message of the record that it joined."""
        if self.stream(row):
            return self.fields(row).message
        return text_of(self.good.lines.line(row).removesuffix(b"\r"))

    def stream(self, row: int) -> int:
        """The stream of a row: 1 or 2 where a container wrote it, else 0."""
        return int(self.rows.container[row]) & STREAM
