"""Detect the format of a line, and the format of most lines of a source.

A line belongs to the first format that reads it whole, its time included. The format of most of the
source's lines is tried first. It is decided on a sample of the source's first lines and again on every
sample after that, so a source may change its format. In a source with mixed formats each line gets its
own format.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.formats.json_fields import field_of
from engine.formats.registry import DETECTED, FORMATS, UNKNOWN, Format
from engine.parsing.header import BadLineError, Header, HeaderReader
from engine.parsing.json_reader import DecodedLine, JsonReader

NAMES: tuple[str, ...] = (*(entry.name for entry in DETECTED), UNKNOWN)
UNKNOWN_AT = len(DETECTED)
"""Number of the format `unknown`; the others have their place in `DETECTED`."""

NONE = -1
"""Preference of a source in which no format is written in more than half of the lines."""

FIRST_SAMPLE, LARGEST_SAMPLE = 128, 16_384
"""Lines of the first sample; each is twice as long as the one before, up to the largest."""


@cache
def orders() -> tuple[tuple[int, ...], ...]:
    """Numbers of formats in the order in which a line is tried, by the preferred one; last, that for `NONE`."""
    usual = tuple(range(UNKNOWN_AT))
    first = (() if entry.general else (number,) for number, entry in enumerate(DETECTED))
    return (*((*mine, *(n for n in usual if n not in mine)) for mine in first), usual)


class FormatDetector:
    """Recognises single lines.

    Args:
        headers: A reader of each headed format, by number.
        documents: A reader of each document format, by number.
    """

    def __init__(self, headers: dict[int, HeaderReader], documents: dict[int, JsonReader]) -> None:
        self._headers = headers
        self._documents = documents

    def detect(
        self, line: bytes, read_ns: int, preferred: int, likely: int = NONE
    ) -> tuple[int, DecodedLine | Header | None]:
        """The number of the line's format, and what its reader makes of the line.

        Args:
            line: The line.
            read_ns: When it was read.
            preferred: Number of the format that is tried first, or `NONE`.
            likely: Number of the first headed format that matches the line, if its time can be used; `NONE`: not known.
        """
        if likely != NONE and (header := self._header(likely, line, read_ns)) is not None:
            return likely, header
        # A line with a NUL is not text, as for headed formats; decoders accept some of them.
        document = (line.startswith((b"{", b"<")) or b"=" in line) and b"\0" not in line
        for number in orders()[preferred]:
            if number in self._headers:
                if self._headers[number].fits(line) and (header := self._header(number, line, read_ns)) is not None:
                    return number, header
                continue
            if document and (found := self._decoded(number, line, read_ns)) is not None:
                return number, found
        return UNKNOWN_AT, None

    def _header(self, number: int, line: bytes, read_ns: int) -> Header | None:
        try:
            return self._headers[number].read(line, read_ns)
        except BadLineError:
            return None

    def _decoded(self, number: int, line: bytes, read_ns: int) -> DecodedLine | None:
        document = DETECTED[number].document
        if document is None:
            return None
        found = document.decode(line)
        if isinstance(found, str):
            return None
        for row in document.marks:
            if all(field_of(found, name) is None for name in row):
                return None
        try:
            return self._documents[number].decoded(line, read_ns, found)
        except BadLineError:
            return None


class Preference:
    """What a source is written in, decided by whole samples and so by nothing but its lines.

    Attributes:
        format: Number of the format that lines are first tried with, or `NONE`.
    """

    def __init__(self, saved: Sequence[Any] | None = None) -> None:
        self.format = NONE
        self._size, self._seen = FIRST_SAMPLE, 0
        self._counts = np.zeros(len(NAMES), np.int64)
        if saved is not None:
            name, self._size, self._seen, counts = saved
            self.format = NAMES.index(name) if name in NAMES else NONE
            for counted, value in counts.items():
                if counted in NAMES:
                    self._counts[NAMES.index(counted)] = value

    def left(self) -> int:
        """Lines until the next decision."""
        return self._size - self._seen

    def count(self, formats: NDArray[np.int16]) -> None:
        """Takes the formats of at most `left()` further lines into account."""
        self._counts += np.bincount(formats, minlength=len(NAMES))
        self._seen += len(formats)
        if self._seen < self._size:
            return
        known = self._counts[:UNKNOWN_AT]
        best = int(known.argmax())
        self.format = best if 2 * known[best] > known.sum() else NONE
        self._size, self._seen = min(2 * self._size, LARGEST_SAMPLE), 0
        self._counts[:] = 0

    def snapshot(self) -> list[Any]:
        """Plain data for a new object; names, since numbers change with the registry."""
        name = NAMES[self.format] if self.format != NONE else ""
        counts = {NAMES[i]: int(n) for i, n in enumerate(self._counts) if n}
        return [name, self._size, self._seen, counts]


def format_of(number: int) -> Format:
    """The entry of a format by its number."""
    return UNKNOWN_FORMAT if number == UNKNOWN_AT else DETECTED[number]


UNKNOWN_FORMAT = Format(
    name=UNKNOWN,
    expected="anything",
    examples=(),
    header=re.compile(rb"(?P<message>.*)", re.DOTALL),
    sessions=FORMATS["raw"].sessions,
    joins=True,
    binary=True,
)
