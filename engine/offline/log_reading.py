"""Reads the files of a log into windows with labels, with the engine's own source, parser and windower."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from connectors.base import ConnectorError, DeadLetter, LineBatch, SourcePartition
from connectors.files import FileSettings, FileSource
from engine.clock import ManualClock, SystemClock
from engine.offline.inputs import DatasetError, LogSpec, damage_in, log_files, refusal_in
from engine.offline.label_files import open_labels
from engine.offline.record_labels import FormatLabels, RecordLabels
from engine.records import WindowBatch
from engine.steps.parse import Parsed, Parser, ParseSettings
from engine.steps.window import SessionWindows, Windower, WindowSettings, build_windower

MAX_BAD_SHARE = 0.5
"""A log of which more than this share does not parse is rejected as one of another format."""

MAX_LINE_BYTES = 1 << 20


class LogReading:
    """One pass over all files of a log: counts, labels, windows.

    Every file is a stream of its own, with its own templates and open windows, as in the engine.

    Attributes:
        files: The log files, in the order of reading.
        labels: Labels by session, or of records.
        templates: The text of every template id.
        lines, bad, late: Lines read, those of them that did not parse, and those too late for any window.
    """

    def __init__(self, spec: LogSpec, parse: ParseSettings, window: WindowSettings) -> None:
        """Opens the labels.

        Raises:
            DatasetError: a log or the labels are missing, or the labels have an unknown form.
        """
        self._spec = spec
        self._parse = parse
        self._window = window
        self._clock = ManualClock(SystemClock().wall_ns())
        self.files = log_files(spec.names)
        self.labels = FormatLabels() if spec.labels is None else open_labels(spec.labels, self.files, parse.timezone)
        self.templates: dict[int, str] = {}
        self.lines = self.bad = self.late = 0
        self._first_bad: DeadLetter | None = None

    def run(self) -> tuple[WindowBatch, NDArray[np.bool_], NDArray[np.bool_]]:
        """All windows of the log, which of them the labels of records make anomalous, and which are cut off.

        A session is cut off if it is still open at the end of its file.

        Raises:
            DatasetError: a file is damaged, of another format, or does not fit its labels.
        """
        found = [result for file in self.files if (result := self._read(file)) is not None]
        log = self._spec
        if self._first_bad is not None and self.bad > MAX_BAD_SHARE * self.lines:
            raise DatasetError(
                f"{log} is not in the format {self._parse.format}: {self.bad} of {self.lines} lines do not parse, "
                f"the first at {self._first_bad.place} ({self._first_bad.reason})"
            )
        if not found:
            raise DatasetError(f"{log} gave no window: {self.lines} lines read, {self.late} of them late")
        if isinstance(self.labels, RecordLabels):
            self.labels.check()
        windows, flags, cut = zip(*found, strict=True)
        return WindowBatch.join(windows), np.concatenate(flags), np.concatenate(cut)

    def _read(self, file: Path) -> tuple[WindowBatch, NDArray[np.bool_], NDArray[np.bool_]] | None:
        """The windows of one file with their labels, and which are cut off; None where it has no window."""
        source = file_source(file)
        parser, windower = Parser(self._parse, source.describe), build_windower(self._window, self._clock, None)
        records = _Records(self.labels if isinstance(self.labels, RecordLabels) else None, file)
        batches: list[WindowBatch] = []
        for batch in file_batches(file, source):
            self.lines += len(batch) + len(batch.rejects)
            self._take(parser.parse(batch), windower, records, batches)
        if (rest := parser.finish()) is not None:
            self._take(rest, windower, records, batches)
        last = windower.close_all()
        batches += [] if last is None else [last]
        if not batches:
            return None
        windows = WindowBatch.join(batches)
        per_source = getattr(self._window, "per", "session") == "source"
        flags = records.of_windows(windows, self._spec.anomalous_share, per_source=per_source)
        return windows, flags, self._cut(windows, last)

    def _cut(self, windows: WindowBatch, last: WindowBatch | None) -> NDArray[np.bool_]:
        """Which windows are sessions that only the end of the file closed, or growth steps of these."""
        if last is None or not isinstance(self._window, SessionWindows):
            return np.zeros(len(windows), np.bool_)
        # A position begins one window only, and growth steps begin where their session does.
        return np.isin(windows.first, last.first)

    def _take(self, parsed: Parsed, windower: Windower, records: "_Records", batches: list[WindowBatch]) -> None:
        good = parsed.good
        self.templates.update(good.templates)
        self.bad += len(good.bad)
        self._first_bad = self._first_bad or next(iter(good.bad), None)
        records.add(parsed)
        windowed = windower.add(good)
        self.late += len(windowed.late)
        batches += [] if windowed.windows is None else [windowed.windows]


def file_source(file: Path) -> FileSource:
    """One file as a source."""
    return FileSource(FileSettings(paths=(str(file),), max_line_bytes=MAX_LINE_BYTES))


def file_batches(file: Path, source: FileSource | None = None) -> Iterator[LineBatch]:
    """The batches of a file to its end; `source` is that of the file, for the places of its lines.

    Raises:
        DatasetError: the file cannot be read, or is damaged.
    """
    source = source or file_source(file)
    try:
        for name in source.partitions():
            partition = source.open(name, None)
            try:
                yield from _read_all(partition, file)
            finally:
                partition.close()
    except ConnectorError as error:
        raise DatasetError(f"{file} cannot be read: {error}") from error


def _read_all(partition: SourcePartition, file: Path) -> Iterator[LineBatch]:
    while True:
        try:
            batch = partition.next_batch()
        except StopIteration:
            return
        if batch is None:
            continue
        if damage := damage_in(batch):
            raise DatasetError(f"{file} is truncated or damaged: {damage}")
        if refusal := refusal_in(batch):
            raise DatasetError(f"{file} {refusal}")
        yield batch


class _Records:
    """The records of one file: session, place and label of each."""

    def __init__(self, labels: RecordLabels | None, file: Path) -> None:
        """`labels` is None where labels are by session."""
        self._labels = labels
        self._file = file
        self._session: list[NDArray[np.int64]] = []
        self._position: list[NDArray[np.int64]] = []
        self._flags: list[NDArray[np.bool_]] = []

    def add(self, parsed: Parsed) -> None:
        """Reads the labels of a batch."""
        if self._labels is not None:
            self._session.append(parsed.good.session)
            self._position.append(parsed.good.lines.positions[parsed.good.rows])
            self._flags.append(self._labels.read(parsed))

    def of_windows(self, batch: WindowBatch, share: float, *, per_source: bool) -> NDArray[np.bool_]:
        """Labels of windows, bool (n,): whether more than `share` of a window's records are anomalous.

        Records from the window's first to its last count, in the order of the log: those of its own session,
        or all of them where windows are cut per source.
        """
        if self._labels is None:
            return np.zeros(len(batch), np.bool_)
        session, position = np.concatenate(self._session), np.concatenate(self._position)
        flags = self._labels.settle(self._file, position, np.concatenate(self._flags))
        return window_flags(batch, session, position, flags, share=share, per_source=per_source)


def window_flags(
    batch: WindowBatch,
    session: NDArray[np.int64],
    position: NDArray[np.int64],
    flags: NDArray[np.bool_],
    *,
    share: float = 0.0,
    per_source: bool = False,
) -> NDArray[np.bool_]:
    """Labels of windows from labels of their records, bool (windows,).

    Args:
        batch: Windows of one stream.
        session: int64 (n,): hash of each record's session key.
        position: int64 (n,), ascending: place of each record.
        flags: bool (n,): whether the record is anomalous.
        share: A window is anomalous if more than this share of its records is.
        per_source: Whether windows hold the records of all sessions.
    """
    wanted = batch.session
    if per_source:
        session, wanted = np.zeros_like(session), np.zeros_like(wanted)
    sessions, session_rank = np.unique(session, return_inverse=True)
    # Positions ascend over the whole stream, so their index orders the records within a session.
    order = np.argsort(session_rank, kind="stable")
    width = len(position) + 1
    key = session_rank[order] * width + order
    before = np.concatenate([[0], np.cumsum(flags[order])])
    rank = np.searchsorted(sessions, wanted) * width
    first = np.searchsorted(key, rank + np.searchsorted(position, batch.first))
    last = np.searchsorted(key, rank + np.searchsorted(position, batch.last), side="right")
    anomalous = before[last] - before[first]
    return np.asarray(anomalous > share * (last - first), np.bool_)
