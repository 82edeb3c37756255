"""The lines of a batch as a reader gives them, before they get templates."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from connectors.base import DeadLetter, LineBatch

MAX_RAW_BYTES = 4096
"""Bytes of a bad line that its dead letter carries."""

Describe = Callable[[str, int], str]
"""(partition, position) → the place in words, see `connectors.base.Source.describe`."""


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
    session_key: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns with one row per line of a batch; those of a line in `bad` mean nothing.

    Attributes:
        time_ns, session, key_start, key_end: As in `engine.records.ParsedLines`.
        text: int32: number of the line's masked text, see `engine.parsing.templates.Templates`.
        bad: Row → reason.
    """

    time_ns: NDArray[np.int64]
    session: NDArray[np.int64]
    key_start: NDArray[np.int64]
    key_end: NDArray[np.int64]
    text: NDArray[np.int32]
    bad: dict[int, str]

    @staticmethod
    def empty(n: int) -> "Rows":
        """`n` rows to be filled."""

        def column() -> NDArray[np.int64]:
            return np.zeros(n, np.int64)

        return Rows(column(), column(), column(), column(), np.zeros(n, np.int32), {})

    def good(self) -> NDArray[np.int64]:
        """The rows that parsed, ascending."""
        if not self.bad:
            return np.arange(len(self.text))
        keep = np.ones(len(self.text), np.bool_)
        keep[list(self.bad)] = False
        return np.flatnonzero(keep)

    def letters(self, batch: LineBatch, describe: Describe) -> tuple[DeadLetter, ...]:
        """The dead letters of the rows that did not parse, in line order."""
        found = []
        for row in sorted(self.bad):
            raw = batch.line(row)
            place = describe(batch.partition, int(batch.positions[row]))
            found.append(DeadLetter(place, self.bad[row], raw[:MAX_RAW_BYTES], len(raw)))
        return tuple(found)


class LineReader(Protocol):
    """Reads the lines of one kind of format.

    `why_slow` says why lines cannot be answered by shape, in one sentence; None where they can.
    """

    why_slow: str | None

    def read(self, batch: LineBatch) -> Rows:
        """Reads every line of a batch; never raises for what a line holds."""
        ...

    def take_apart(self, line: bytes, read_ns: int) -> Fields:
        r"""One line's fields; `line` has no line end and no final `\r`.

        Raises:
            engine.parsing.header.BadLine: it does not parse.
        """
        ...
