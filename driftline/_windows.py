"""Windows: the rows that detectors learn from and score."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.base import LineBatch
from driftline._tables import Table, pyarrow, table_of
from engine.clock import ManualClock, SystemClock
from engine.offline.datasets import LabelledWindows, load_windows, split_by_time
from engine.offline.detect import default_preprocessing
from engine.offline.inputs import DatasetError, LogSpec
from engine.offline.log_reading import window_flags
from engine.records import NO_SESSION, ParsedLines, WindowBatch
from engine.steps.window import WindowSettings, build_windower
from models.base import template_id

_ROWS = 50_000
"""Records that go through the windower at once."""

Labels = str | PathLike[str] | Mapping[str, bool] | Sequence[bool] | None


@dataclass(frozen=True, slots=True)
class LogWindows:
    """Windows of a log in the order in which an engine would score them.

    Attributes:
        data: The windows as detectors take them, with their labels.
        labelled: Whether labels were given; if not, every window counts as normal.
    """

    data: LabelledWindows
    labelled: bool

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        known = f"{int(self.data.labels.sum()):,} anomalous" if self.labelled else "without labels"
        return f"<LogWindows: {len(self):,}, {known}; {self.late_lines:,} late lines>"

    @property
    def late_lines(self) -> int:
        """Lines that came too late for any window."""
        return self.data.late_lines

    @property
    def templates(self) -> Mapping[int, str]:
        """The text of every template id."""
        return self.data.templates

    def split(self, share: float) -> "tuple[LogWindows, LogWindows]":
        """The first share (0 to 1) of the sessions by time, and the later ones."""
        first, later = split_by_time(self.data, share)
        return LogWindows(first, self.labelled), LogWindows(later, self.labelled)

    def take(self, index: Sequence[int]) -> "LogWindows":
        """The windows at these indexes, in that order."""
        return LogWindows(self.data.take(np.array(index, np.int64)), self.labelled)

    def to_arrow(self) -> Table:
        """One row per window: `session`, `first_time`, `last_time`, `lines`, `closed`, `anomalous`.

        `closed` is False for a session that is scored while it still grows; `anomalous` is the label, null
        if there are no labels.
        """
        arrow, data = pyarrow(), self.data
        times = arrow.timestamp("ns", "UTC")
        return arrow.table(
            {
                "session": list(data.keys),
                "first_time": arrow.array(data.first_ns, arrow.int64()).cast(times),
                "last_time": arrow.array(data.last_ns, arrow.int64()).cast(times),
                "lines": data.windows.lengths(),
                "closed": data.windows.closed,
                "anomalous": data.labels if self.labelled else arrow.nulls(len(data), arrow.bool_()),
            }
        )


def windows(
    log: Any, *, kind: str = "session", labels: Labels = None, format: str = "auto", **settings: Any
) -> LogWindows:  # fmt: skip
    """Cut a log into windows, exactly as an engine cuts them.

    Args:
        log: The path of a file, a folder or a glob; or a table of records as `parse` returns it: a data frame of
            pandas or Polars or an Arrow table with the columns `timestamp` and `template`, and perhaps `session`
            and `file`, in the order of the log.
        kind: `session`, `sliding` or `time`.
        labels: For a path: a file of labels or `column:NAME` (docs/evaluation.md), else the label column of the
            format. For a table: the name of a column of truth values, a truth value per record, or a mapping
            from session key to truth value. True is anomalous.
        format: Log format, for a path only.
        settings: Settings of the window, such as `gap_s=600` (docs/configuration.md).

    Raises:
        DriftlineError: the log or the labels cannot be used, or a setting is unknown.

    Example:
        >>> import driftline
        >>> lines = [f"2024-03-10 06:25:{i:02d},123 INFO shop: order {i} placed" for i in range(10)]
        >>> driftline.windows(driftline.parse(lines), kind="sliding", size=4, stride=2)
        <LogWindows: 4, without labels; 0 late lines>
    """
    preprocessing = default_preprocessing(format, kind, settings)
    if isinstance(log, str | PathLike):
        spec = LogSpec(Path(fspath(log)), _label_source(labels), supervised=False)
        data = load_windows(spec, preprocessing.parse, preprocessing.window)
        return LogWindows(data, labels is not None or bool(data.labels.any()))
    return _of_table(table_of(log), preprocessing.window, labels)


def _label_source(labels: Labels) -> str | Path | None:
    if labels is None or isinstance(labels, str):
        return labels
    if isinstance(labels, PathLike):
        return Path(fspath(labels))
    raise DatasetError("labels of a log file are a file of labels or column:NAME; for others parse the log first")


def _of_table(table: Table, window: WindowSettings, labels: Labels) -> LogWindows:
    missing = [name for name in ("timestamp", "template") if name not in table.column_names]
    if missing:
        raise DatasetError(f"the table has no column {' and '.join(missing)}; it has {', '.join(table.column_names)}")
    records = _Records.of(table)
    by_session = {str(key): bool(bad) for key, bad in labels.items()} if isinstance(labels, Mapping) else None
    flags = None if by_session is not None or labels is None else _flags(table, labels)
    found: list[tuple[WindowBatch, NDArray[np.bool_]]] = []
    late = 0
    for rows in records.streams():
        batch, dropped = records.windows(rows, window)
        late += dropped
        if batch is not None:
            found.append((batch, _window_labels(batch, records, rows, window, flags, by_session)))
    if not found:
        raise DatasetError(f"{len(table)} records gave no window")
    batch = WindowBatch.join([part for part, _ in found])
    data = LabelledWindows(
        batch.windows, np.concatenate([part for _, part in found]), records.texts, batch.key, batch.first_ns,
        batch.last_ns, cut=np.zeros(len(batch), np.bool_), lines=len(table), bad_lines=0, late_lines=late, unlabelled=0,
        cut_sessions=0,
    )  # fmt: skip
    if by_session is None:
        return LogWindows(data, labels is not None)
    known = np.flatnonzero([key in by_session for key in data.keys])
    if not len(known):
        raise DatasetError(f"the labels name none of the {len(set(data.keys))} sessions, such as {data.keys[0]!r}")
    return LogWindows(data.take(known), labelled=True)


def _flags(table: Table, labels: Any) -> NDArray[np.bool_]:
    """A truth value per record."""
    if isinstance(labels, str) and labels not in table.column_names:
        raise DatasetError(f"the table has no column {labels}; it has {', '.join(table.column_names)}")
    values = table[labels].to_pylist() if isinstance(labels, str) else list(labels)
    if len(values) != len(table):
        raise DatasetError(f"{len(values)} labels were given for {len(table)} records")
    if odd := [value for value in values if value not in (True, False)]:
        raise DatasetError(f"a label is true or false, not {odd[0]!r}")
    return np.array(values, np.bool_)


def _window_labels(
    batch: WindowBatch, records: "_Records", rows: NDArray[np.int64], window: WindowSettings,
    flags: NDArray[np.bool_] | None, by_session: Mapping[str, bool] | None,
) -> NDArray[np.bool_]:  # fmt: skip
    if by_session is not None:
        return np.array([by_session.get(key, False) for key in batch.key], np.bool_)
    if flags is None:
        return np.zeros(len(batch), np.bool_)
    per_source = getattr(window, "per", "session") == "source"
    return window_flags(batch, records.session[rows], rows, flags[rows], per_source=per_source)


@dataclass(frozen=True, slots=True)
class _Records:
    """Records of a table as columns, all of the length of the table.

    Attributes:
        time_ns: int64 (n,): UTC ns since the epoch.
        template: int64 (n,): template ids.
        session: int64 (n,): hash of the session key.
        keys: Session keys, "" if absent.
        files: Name of the file, "" where the table has none.
        texts: The text of every template id.
    """

    time_ns: NDArray[np.int64]
    template: NDArray[np.int64]
    session: NDArray[np.int64]
    keys: tuple[str, ...]
    files: tuple[str, ...]
    texts: dict[int, str]

    @staticmethod
    def of(table: Table) -> "_Records":
        arrow = pyarrow()
        if table["timestamp"].null_count or table["template"].null_count:
            raise DatasetError("every record needs a timestamp and a template; drop the rows without them")
        try:
            times = table["timestamp"].cast(arrow.timestamp("ns", "UTC")).cast(arrow.int64())
        except arrow.ArrowInvalid as error:
            raise DatasetError(f"the column timestamp does not hold times: {error}") from error
        templates = [str(text) for text in table["template"].to_pylist()]
        ids = {text: template_id(text) for text in set(templates)}
        keys = _texts(table, "session")
        hashes = {key: template_id(key) if key else NO_SESSION for key in set(keys)}
        return _Records(
            times.to_numpy(), np.array([ids[text] for text in templates], np.int64),
            np.array([hashes[key] for key in keys], np.int64), keys, _texts(table, "file"),
            {number: text for text, number in ids.items()},
        )  # fmt: skip

    def streams(self) -> Iterator[NDArray[np.int64]]:
        """The rows of each file, in the order in which the files come."""
        for file in dict.fromkeys(self.files):
            yield np.flatnonzero(np.array(self.files) == file)

    def windows(self, rows: NDArray[np.int64], window: WindowSettings) -> tuple[WindowBatch | None, int]:
        """The windows of one stream, and the number of late records."""
        now = max(SystemClock().wall_ns(), int(self.time_ns[rows].max()))
        windower = build_windower(window, ManualClock(now), None)
        batches, late = [], 0
        for start in range(0, len(rows), _ROWS):
            windowed = windower.add(self._parsed(rows[start : start + _ROWS], now))
            late += len(windowed.late)
            batches += [] if windowed.windows is None else [windowed.windows]
        last = windower.close_all()
        batches += [] if last is None else [last]
        return (WindowBatch.join(batches) if batches else None), late

    def _parsed(self, rows: NDArray[np.int64], now: int) -> ParsedLines:
        """Records as the parse step hands them on; of the raw lines only the session keys are there."""
        keys = [self.keys[row].encode("utf-8", "surrogatepass").replace(b"\n", b" ") for row in rows.tolist()]
        ends = np.cumsum([len(key) + 1 for key in keys], dtype=np.int64) - 1
        begins = np.concatenate([[0], ends[:-1] + 1]).astype(np.int32)
        lines = LineBatch("table", b"".join(key + b"\n" for key in keys), ends, rows, now, now)
        return ParsedLines(
            lines, np.arange(len(rows), dtype=np.int32), self.time_ns[rows], self.template[rows], self.session[rows],
            begins, ends.astype(np.int32), {}, (),
        )  # fmt: skip


def _texts(table: Table, name: str) -> tuple[str, ...]:
    if name not in table.column_names:
        return ("",) * len(table)
    return tuple("" if value is None else str(value) for value in table[name].to_pylist())
