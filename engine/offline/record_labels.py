"""Labels of single records: from the log itself, by line number or by time interval."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.file_reader import open_reader
from engine.formats.base import Format
from engine.offline.inputs import READ_BYTES, DatasetError
from engine.parsing.parsed import Parsed

Flags = NDArray[np.bool_]

NORMAL = frozenset({"normal", "benign", "0", "false", "no", "-"})
ANOMALOUS = frozenset({"anomaly", "anomalous", "abnormal", "attack", "1", "true", "yes"})
"""Words of a label column, in lower case. Where `-` means normal, every other word is the name of an anomaly."""


class LabelWords:
    """The meaning of the words in one label column.

    Words may come in any order, so one that is in neither list counts as anomalous until `check`.
    """

    def __init__(self, place: str) -> None:
        """`place` names the column in messages, such as `labels.csv: label`."""
        self._place = place
        self._unknown = ""
        self._dash = False

    def is_anomalous(self, word: str) -> bool:
        """The meaning of a word; upper and lower case are the same."""
        word = word.strip().lower()
        self._dash = self._dash or word == "-"
        if word in NORMAL:
            return False
        if word not in ANOMALOUS and not self._unknown:
            self._unknown = word or "(empty)"
        return True

    def check(self) -> None:
        """Checks, after the last word, that all of them have a meaning.

        Raises:
            DatasetError: a word has none.
        """
        if self._unknown and not self._dash:
            raise DatasetError(
                f"{self._place} has the label {self._unknown!r}; known are {', '.join(sorted(NORMAL))} for normal and "
                f"{', '.join(sorted(ANOMALOUS))} for anomalous"
            )


class RecordLabels:
    """Labels of the records of several log files, read one file after the other."""

    def read(self, parsed: Parsed) -> Flags:
        """Labels of the good records of a batch, bool (n,), as far as the records show them."""
        return np.zeros(len(parsed), np.bool_)

    def settle(self, file: Path, positions: NDArray[np.int64], flags: Flags) -> Flags:
        """The final labels of a file, once all of it is read.

        Args:
            file: The log file.
            positions: int64 (n,), ascending: byte at which each good record begins.
            flags: bool (n,): the results of `read`.
        """
        return flags

    def check(self) -> None:
        """Checks, after the last file, that the labels could be used.

        Raises:
            DatasetError: they could not; the message gives what is expected.
        """


class FormatLabels(RecordLabels):
    """The label column that some public data sets have on every line, such as BGL."""

    def __init__(self) -> None:
        self.found = False
        self.formats: dict[str, None] = {}

    def read(self, parsed: Parsed) -> Flags:
        """See `RecordLabels.read`."""
        flags, numbers = np.zeros(len(parsed), np.bool_), parsed.format()
        for number in np.unique(numbers).tolist():
            format = parsed.formats[number]
            self.formats[format.name] = None
            if format.header is not None and format.normal_label is not None:
                self.found = True
                for i in np.flatnonzero(numbers == number).tolist():
                    flags[i] = _labelled(format, parsed.good.lines.line(int(parsed.good.rows[i])))
        return flags


def _labelled(format: Format, line: bytes) -> bool:
    match = format.header.match(line) if format.header is not None else None
    label = None if match is None else match["label"]
    return format.unlabelled_is_anomalous if label is None else bool(label != format.normal_label)


class ColumnLabels(RecordLabels):
    """A field of every record: a key of a JSON or logfmt document, or a part of the format's header."""

    def __init__(self, name: str) -> None:
        """`name` is a key; dots lead into nested objects."""
        self._name = name
        self._words = LabelWords(f"the column {name}")
        self._seen = 0

    def read(self, parsed: Parsed) -> Flags:
        """See `RecordLabels.read`; a record without the field is normal."""
        flags = np.zeros(len(parsed), np.bool_)
        for i, (number, row) in enumerate(zip(parsed.format().tolist(), parsed.good.rows.tolist(), strict=True)):
            word = _field(parsed.formats[number], self._name, parsed.good.lines.line(row))
            if word is not None:
                self._seen += 1
                flags[i] = self._words.is_anomalous(word)
        return flags

    def check(self) -> None:
        """See `RecordLabels.check`."""
        if not self._seen:
            raise DatasetError(
                f"no record has the column {self._name}; name a key of JSON or logfmt lines, or a field of the format"
            )
        self._words.check()


def _field(format: Format, name: str, line: bytes) -> str | None:
    """A field of a line as text; None where the line does not have it."""
    if format.header is not None and name in format.header.groupindex:
        match = format.header.match(line)
        value = None if match is None else match[name]
        return None if value is None else value.decode("utf-8", "backslashreplace")
    if format.document is None:
        return None
    document: Any = format.document.decode(line)
    if isinstance(document, dict) and name in document:
        document = document[name]
    else:
        for key in name.split("."):
            if not isinstance(document, dict) or key not in document:
                return None
            document = document[key]
    return str(document)


@dataclass(frozen=True, slots=True)
class LineLabels(RecordLabels):
    """Numbers of anomalous lines, counted from 1; a label on any line of a record counts for the record."""

    lines: Mapping[Path, Sequence[int]]

    def settle(self, file: Path, positions: NDArray[np.int64], flags: Flags) -> Flags:
        """See `RecordLabels.settle`.

        Raises:
            DatasetError: the file has fewer lines.
        """
        wanted = np.unique(np.array(self.lines.get(file, ()), np.int64))
        if not len(wanted) or not len(positions):
            return flags
        record = np.searchsorted(positions, _line_starts(file, wanted), side="right") - 1
        settled = flags.copy()
        settled[record[record >= 0]] = True
        return settled


def _line_starts(file: Path, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Byte at which each of the lines begins; the numbers ascend and count from 1."""
    found, lines, read = np.zeros(len(wanted), np.int64), 1, 0
    for block in _blocks(file):
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
        inside = (wanted > lines) & (wanted <= lines + len(ends))
        found[inside] = read + ends[wanted[inside] - lines - 1] + 1
        lines, read = lines + len(ends), read + len(block)
    last = int(wanted[-1])
    if last > lines or (last > 1 and found[-1] >= read):  # after a final line end no line begins
        raise DatasetError(f"the labels name line {last}, but {file} has fewer lines")
    return found


def _blocks(file: Path) -> Iterable[bytes]:
    reader = open_reader(str(file), 0)
    try:
        while block := reader.read(READ_BYTES):
            yield block
    finally:
        reader.close()


@dataclass(frozen=True, slots=True)
class IntervalLabels(RecordLabels):
    """Records whose event time is inside one of the intervals, ends included.

    Attributes:
        begin, end: int64 (n,): UTC ns since the epoch, ascending; intervals do not overlap.
    """

    begin: NDArray[np.int64]
    end: NDArray[np.int64]

    @staticmethod
    def of(intervals: Iterable[tuple[int, int]]) -> "IntervalLabels":
        """Merges intervals that overlap."""
        merged: list[list[int]] = []
        for begin, end in sorted(intervals):
            if merged and begin <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([begin, end])
        table = np.array(merged, np.int64).reshape(-1, 2)
        return IntervalLabels(table[:, 0], table[:, 1])

    def read(self, parsed: Parsed) -> Flags:
        """See `RecordLabels.read`."""
        times = parsed.good.time_ns
        if not len(self.begin):
            return np.zeros(len(times), np.bool_)
        at = np.searchsorted(self.begin, times, side="right") - 1
        return np.asarray((at >= 0) & (times <= self.end[np.maximum(at, 0)]), np.bool_)
