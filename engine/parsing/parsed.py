"""Everything that the parser found in one batch, as one value that stays valid."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.formats.base import Format
from engine.parsing.header import text_of
from engine.parsing.parsed_columns import LEVEL_BY_LINE, LEVEL_NAMES, SPANNED, STREAM, Fields, LineReader, Rows
from engine.parsing.templates import PartitionTemplates
from engine.records import ParsedLines


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
        formats: Format by number, see `Rows.format`.
        readers: What read the lines, by number of the format.
        templates: What mined the templates, by number of the format.
    """

    good: ParsedLines
    rows: Rows
    cluster: NDArray[np.int32]
    joined: Mapping[int, int]
    pieces: tuple[int, ...]
    formats: tuple[Format, ...]
    readers: tuple[LineReader, ...]
    templates: tuple[PartitionTemplates, ...]

    def __len__(self) -> int:
        return len(self.good)

    def format(self) -> NDArray[np.int16]:
        """int16 (n,): index into `formats`."""
        found: NDArray[np.int16] = self.rows.format[self.good.rows]
        return found

    def level(self) -> NDArray[np.int8]:
        """int8 (n,): index into `engine.parsing.parsed_columns.LEVEL_NAMES`."""
        found: NDArray[np.int8] = self.rows.level[self.good.rows]
        for i in np.flatnonzero(found == LEVEL_BY_LINE).tolist():
            found[i] = LEVEL_NAMES.index(self.fields(int(self.good.rows[i])).level)
        return found

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

    def fields(self, row: int) -> Fields:
        """All fields of a row that was read.

        Raises:
            engine.parsing.header.BadLineError: the row is one of `rows.bad`.
        """
        if (fields := self.rows.fields.get(row)) is not None:
            return fields
        lines = self.good.lines
        return self.readers[int(self.rows.format[row])].take_apart(lines.line(row).removesuffix(b"\r"), lines.read_ns)

    def masked(self, i: int) -> str:
        """The masked message of a good line, from which its template was mined."""
        row = int(self.good.rows[i])
        return self.templates[int(self.rows.format[row])].mask(self.fields(row).message)

    def values(self, i: int) -> list[tuple[str, str]]:
        """What the masks took out of a good line's message: name of the mask and text, in the order of the message.

        Costs about 20 µs a line, so ask for a sample.
        """
        row = int(self.good.rows[i])
        return self.templates[int(self.rows.format[row])].values(self.fields(row).message)

    def joined_text(self, row: int) -> str:
        """The text that a row adds to the message of the record that it joined."""
        if self.stream(row):
            return self.fields(row).message
        return text_of(self.good.lines.line(row).removesuffix(b"\r"))

    def stream(self, row: int) -> int:
        """The stream of a row: 1 or 2 where a container wrote it, else 0."""
        return int(self.rows.container[row]) & STREAM if len(self.rows.container) else 0
