"""The lines of a batch as a reader gives them, before they get templates."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connectors.base import DeadLetter, LineBatch
from engine.compiled.groups import PLACED
from engine.compiled.tables import RowColumns

SPANNED = PLACED
"""Fields that are kept as places in the line."""

STREAM, PIECE, TRACE = 3, 4, 8
"""Bits of `Rows.container`."""


Describe = Callable[[str, int], str]
"""(partition, position) → the place as text, see `connectors.base.Source.describe`."""


@dataclass(frozen=True, slots=True)
class Fields:
    """One line taken apart; "" and None where the line has no such field.

    `level` is one of trace, debug, info, warn, error, fatal.
    """

    time_ns: int
    message: str
    level: str = ""
    host: str = ""
    component: str = ""
    pid: int | None = None
    thread: str = ""
    session_key: str = ""
    label: str = ""
    format: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns with one row per line of a batch; those of a line in `bad` mean nothing.

    Attributes:
        time_ns, session, key_start, key_end: As in `engine.records.ParsedLines`.
        text: int32: number of the line's masked text, see `engine.parsing.templates.PartitionTemplates`.
        format: int16: number of the line's format, see `engine.parsing.line_reader`.
        container: int8: of a line that a container runtime wrapped, the number of its stream (1 or 2, masked by
            `STREAM`), with `PIECE` if it continues in the next line of that stream and `TRACE` if its message
            looks like the rest of a stack trace; 0 for other lines.
        level: int8: index into `LEVEL_NAMES`.
        spans: int64 (n, len(SPANNED), 2): where in the batch's data each field of `SPANNED` is, both
            ends equal if the line has none.
        fields: Row → fields, for lines whose fields are not spans of their bytes.
        bad: Row → reason.
    """

    time_ns: NDArray[np.int64]
    session: NDArray[np.int64]
    key_start: NDArray[np.int64]
    key_end: NDArray[np.int64]
    text: NDArray[np.int32]
    format: NDArray[np.int16]
    container: NDArray[np.int8]
    level: NDArray[np.int8]
    spans: NDArray[np.int64]
    fields: dict[int, Fields]
    bad: dict[int, str]

    @staticmethod
    def empty(n: int) -> "Rows":
        """`n` rows to be filled."""

        def column() -> NDArray[np.int64]:
            return np.zeros(n, np.int64)

        text, format, level = np.zeros(n, np.int32), np.zeros(n, np.int16), np.zeros(n, np.int8)
        wrapped = np.zeros(n, np.int8)
        spans = np.zeros((n, len(SPANNED), 2), np.int64)
        return Rows(column(), column(), column(), column(), text, format, wrapped, level, spans, {}, {})

    def columns(self) -> RowColumns:
        """The columns for the compiled scan to fill, with nothing asked of the caller."""
        n = len(self.text)
        return RowColumns(
            self.time_ns, self.session, self.key_start, self.key_end, self.text, self.format, self.container,
            self.level, self.spans, ask=np.zeros(n, np.uint8), layout=np.zeros(n, np.int32),
        )  # fmt: skip

    def move(self, shift: NDArray[np.int64]) -> None:
        """Each line begins `shift` (int64, n) bytes further behind than it did."""
        for places in (self.key_start, self.key_end):
            np.add(places, shift, out=places)
        np.add(self.spans, shift[:, None, None], out=self.spans)

    def letters(self, batch: LineBatch, describe: Describe) -> tuple[DeadLetter, ...]:
        """The dead letters of the rows that did not parse, in line order."""
        return tuple(batch.dead_letter(row, self.bad[row], describe) for row in sorted(self.bad))
