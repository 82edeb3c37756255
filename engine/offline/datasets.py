"""Labelled windows out of log files, cut exactly as the engine cuts them.

A log goes through the same source, parser and windower as in the engine; only the clock stands
still, so nothing is evicted for being idle. Labels come from a CSV file by session key, or from the
label column that some formats carry on every line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.base import ConnectorError, DeadLetter, LineBatch, SourcePartition
from connectors.files import FileSettings, FileSource
from engine.clock import ManualClock, SystemClock
from engine.corpus.data import DataError, read_labels
from engine.formats.registry import Format, find
from engine.records import ParsedLines, WindowBatch
from engine.steps.parse import Parser, ParseSettings
from engine.steps.window import WindowSettings, build_windower
from models.base import Windows

MAX_BAD_SHARE = 0.5
"""A file of which more than this share does not parse is taken for one of another format."""


class DatasetError(DataError):
    """A log or its labels cannot be used; one sentence that names the file."""


@dataclass(frozen=True, slots=True)
class LogSpec:
    """A log and where its labels are.

    Attributes:
        log: Plain, .gz, .xz or .zst.
        labels: CSV with `BlockId,Label` by session key; None: the format's own label column.
        anomalous_share: With a label column: a window is anomalous if more than this share of its
            lines is; 0 means any line.
        supervised: Whether labels of both classes are needed; if not, and there are none, every
            window counts as normal.
    """

    log: Path
    labels: Path | None = None
    anomalous_share: float = 0.0
    supervised: bool = True


@dataclass(frozen=True, slots=True)
class LabelledWindows:
    """Windows in the order in which the engine would score them.

    Attributes:
        windows: Growth steps of sessions included (`closed` is False for them).
        labels: bool (n,): True = anomalous. A growth step has the label of its session where labels
            are by session, though what makes it anomalous may only come later.
        templates: The text of every template id.
        keys: Session key of each window, "" where lines have none.
        first_ns, last_ns: int64 (n,): event time of the earliest and latest line.
        lines: Lines read, bad ones included.
        bad_lines, late_lines: Lines that did not parse, and that no window took any more.
        unlabelled: Windows left out because the label file does not name their session.
    """

    windows: Windows
    labels: NDArray[np.bool_]
    templates: dict[int, str]
    keys: tuple[str, ...]
    first_ns: NDArray[np.int64]
    last_ns: NDArray[np.int64]
    lines: int
    bad_lines: int
    late_lines: int
    unlabelled: int

    def __len__(self) -> int:
        return len(self.windows)

    def take(self, index: NDArray[np.integer[Any]]) -> "LabelledWindows":
        """The windows at `index`, in that order; the counts stay those of the whole log."""
        return LabelledWindows(
            self.windows.take(index),
            self.labels[index],
            self.templates,
            tuple(self.keys[i] for i in index.tolist()),
            self.first_ns[index],
            self.last_ns[index],
            self.lines,
            self.bad_lines,
            self.late_lines,
            self.unlabelled,
        )

    def closed(self) -> "LabelledWindows":
        """Without the growth steps."""
        return self.take(np.flatnonzero(self.windows.closed))


def load_windows(spec: LogSpec, parse_settings: ParseSettings, window_settings: WindowSettings) -> LabelledWindows:
    """Reads the log and gives its windows with their labels.

    Raises:
        DatasetError: the log or its labels are missing, truncated, of another format, or lack
            what is needed; the message names the file.
    """
    labels = _labels(spec, find(parse_settings.format))
    reading = _Reading(spec, parse_settings, window_settings)
    batch, templates = reading.run()
    if batch is None:
        raise DatasetError(f"{spec.log} gave no window: {reading.lines} lines read, {reading.late} of them late")
    keep = np.arange(len(batch))
    if isinstance(labels, dict):
        keep = np.array([i for i, key in enumerate(batch.key) if key in labels], np.int64)
        values = np.array([labels[batch.key[i]] for i in keep.tolist()], bool)
    elif labels:
        values = reading.line_labels.of_windows(batch, spec.anomalous_share)
    else:
        values = np.zeros(len(batch), bool)
    if not len(keep):
        raise DatasetError(
            f"{spec.labels} names none of the {len(batch)} sessions in {spec.log}, such as {batch.key[0]!r}"
        )
    if spec.supervised and (values.all() or not values.any()):
        found = "anomalous" if values.all() else "normal"
        raise DatasetError(f"all {len(values)} windows of {spec.log} are {found}; windows of both classes are needed")
    return LabelledWindows(
        batch.windows.take(keep),
        values,
        templates,
        tuple(batch.key[i] for i in keep.tolist()),
        batch.first_ns[keep],
        batch.last_ns[keep],
        reading.lines,
        reading.bad,
        reading.late,
        len(batch) - len(keep),
    )


def split_by_session(data: LabelledWindows, share: float, *, seed: int = 0) -> tuple[LabelledWindows, LabelledWindows]:
    """A random `share` (0..1) of the sessions, and the others; a session is never in both."""
    sessions, session_of = _sessions(data)
    order = np.random.default_rng(seed).permutation(sessions)
    return _divide(data, np.isin(session_of, order[: round(share * sessions)]))


def split_by_time(data: LabelledWindows, share: float) -> tuple[LabelledWindows, LabelledWindows]:
    """The first `share` (0..1) of the sessions by their first line, and the later ones."""
    sessions, session_of = _sessions(data)
    begin = np.full(sessions, np.iinfo(np.int64).max)
    np.minimum.at(begin, session_of, data.first_ns)
    order = np.argsort(begin, kind="stable")
    return _divide(data, np.isin(session_of, order[: round(share * sessions)]))


def _sessions(data: LabelledWindows) -> tuple[int, NDArray[np.int64]]:
    """How many sessions there are, and the number of each window's; windows without a key stand alone."""
    if not any(data.keys):
        return len(data), np.arange(len(data))
    names, session_of = np.unique(np.array(data.keys), return_inverse=True)
    return len(names), session_of.astype(np.int64)


def _divide(data: LabelledWindows, first: NDArray[np.bool_]) -> tuple[LabelledWindows, LabelledWindows]:
    return data.take(np.flatnonzero(first)), data.take(np.flatnonzero(~first))


def _labels(spec: LogSpec, format: Format) -> dict[str, bool] | bool:
    """Labels by session key; True where every line has its own; False where there are none."""
    if spec.labels is not None:
        return read_labels(spec.labels)
    if format.normal_label is not None:
        return True
    if spec.supervised:
        raise DatasetError(
            f"{spec.log} has no labels: the format {format.name} carries none on its lines, so a label file is needed"
        )
    return False


class _Reading:
    """One pass over a log: counts, line labels, windows."""

    def __init__(self, spec: LogSpec, parse: ParseSettings, window: WindowSettings) -> None:
        clock = ManualClock(SystemClock().wall_ns())
        self._log = spec.log
        self._source = FileSource(FileSettings(paths=(str(spec.log),), max_line_bytes=1 << 20))
        self._parser = Parser(parse, self._source.describe)
        self._windower = build_windower(window, clock, None)
        self._format = find(parse.format)
        self.line_labels = _LineLabels(self._format)
        self._reads_labels = spec.labels is None and self._format.normal_label is not None
        self.lines = self.bad = self.late = 0

    def run(self) -> tuple[WindowBatch | None, dict[int, str]]:
        """All windows of the log as one batch, and the templates."""
        if not self._log.is_file():
            raise DatasetError(f"{self._log}: no such file")
        batches: list[WindowBatch] = []
        templates: dict[int, str] = {}
        first_bad: DeadLetter | None = None
        for parsed, lines in self._parsed():
            templates.update(parsed.templates)
            self.lines += lines
            self.bad += len(parsed.bad)
            first_bad = first_bad or next(iter(parsed.bad), None)
            if self._reads_labels:
                self.line_labels.add(parsed)
            windowed = self._windower.add(parsed)
            self.late += len(windowed.late)
            batches += [] if windowed.windows is None else [windowed.windows]
        if first_bad is not None and self.bad > MAX_BAD_SHARE * self.lines:
            raise DatasetError(
                f"{self._log} is not in the format {self._format.name}: {self.bad} of {self.lines} lines do not parse, "
                f"the first at {first_bad.place} ({first_bad.reason})"
            )
        last = self._windower.close_all()
        batches += [] if last is None else [last]
        return (WindowBatch.join(batches) if batches else None), templates

    def _parsed(self) -> Iterator[tuple[ParsedLines, int]]:
        """What every batch gives, with its lines, and what the end of the log completes."""
        for batch in self._batches():
            yield self._parser.parse(batch).good, len(batch)
        if (rest := self._parser.finish()) is not None:
            yield rest.good, 0

    def _batches(self) -> Iterator[LineBatch]:
        """The log's batches to its end."""
        try:
            for name in self._source.partitions():
                partition = self._source.open(name, None)
                try:
                    yield from self._read(partition)
                finally:
                    partition.close()
        except ConnectorError as error:
            raise DatasetError(f"{self._log} cannot be read: {error}") from error

    def _read(self, partition: SourcePartition) -> Iterator[LineBatch]:
        while True:
            try:
                batch = partition.next_batch()
            except StopIteration:
                return
            if batch is None:
                continue
            for reject in batch.rejects:
                if "damaged" in reject.reason:
                    raise DatasetError(f"{self._log} is truncated or damaged: {reject.reason}")
            self.bad += len(batch.rejects)
            self.lines += len(batch.rejects)
            yield batch


class _LineLabels:
    """The labels that lines carry themselves, and what they say about windows."""

    def __init__(self, format: Format) -> None:
        self._format = format
        self._session: list[NDArray[np.int64]] = []
        self._position: list[NDArray[np.int64]] = []
        self._label: list[NDArray[np.bool_]] = []

    def add(self, parsed: ParsedLines) -> None:
        """Notes the label of every good line."""
        header, normal = self._format.header, self._format.normal_label
        if header is None:
            return
        labels = np.zeros(len(parsed), bool)
        for i, row in enumerate(parsed.rows.tolist()):
            match = header.match(parsed.lines.line(row))
            label = None if match is None else match["label"]
            labels[i] = self._format.unlabelled_is_anomalous if label is None else label != normal
        self._session.append(parsed.session)
        self._position.append(parsed.lines.positions[parsed.rows])
        self._label.append(labels)

    def of_windows(self, batch: WindowBatch, share: float) -> NDArray[np.bool_]:
        """Tells, bool (n,), whether more than `share` of the lines between a window's first and last are anomalous.

        Only lines of the window's own session count, in the order of the log.
        """
        session, position = np.concatenate(self._session), np.concatenate(self._position)
        sessions, session_rank = np.unique(session, return_inverse=True)
        # Positions ascend over the whole log, so their index orders the lines within a session.
        order = np.argsort(session_rank, kind="stable")
        width = len(position) + 1
        key = session_rank[order] * width + order
        before = np.concatenate([[0], np.cumsum(np.concatenate(self._label)[order])])
        rank = np.searchsorted(sessions, batch.session) * width
        first = np.searchsorted(key, rank + np.searchsorted(position, batch.first))
        last = np.searchsorted(key, rank + np.searchsorted(position, batch.last), side="right")
        anomalous = before[last] - before[first]
        return np.asarray(anomalous > share * (last - first), bool)
