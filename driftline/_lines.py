"""Lines in, records out: parsing and classification."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from connectors.base import LineBatch
from connectors.memory import MemorySource
from driftline._tables import Table, table_of_records
from engine.offline.classify import BUILT_IN, CLASS_COLUMNS, LogClassifier, load_scorer
from engine.offline.export import COLUMNS, JsonRecord, Judge, RecordReader
from engine.offline.inputs import DatasetError, log_files
from engine.offline.log_reading import file_batches
from engine.steps.parse import Parser, ParseSettings
from foundation.settings_errors import validated

LogInput = str | PathLike[str] | Iterable[Any]

_PLACE = ("file", "position")
_BATCH_LINES = 4096


def parse(lines: LogInput, *, format: str = "auto", session_key: str = "", timezone: str = "UTC") -> Table:
    """Parse a log into an Arrow table with one row per record; a stack trace is part of its record.

    Args:
        lines: The path of a file, a folder or a glob (plain, .gz, .bz2, .xz or .zst), or the lines themselves: an
            iterable, or a column of pandas, Polars or Arrow, of text or bytes. Missing values are skipped.
        format: Name of the log format (docs/formats.md); `auto` detects that of every line.
        session_key: Session rule of the format, or a regular expression with a group `key`.
        timezone: IANA name of the zone of times that are written without one.

    Returns:
        A `pyarrow.Table` with the columns `timestamp` (UTC, ns), `format`, `level`, `host`, `component`, `pid`,
        `session`, `template`, `message`, `file`, and `position`: the byte at which the record begins in its file,
        or the index of the record's first line among the lines given.

    Raises:
        DriftlineError: a file cannot be read, or an option is unknown.

    Example:
        >>> import driftline
        >>> lines = ["2024-03-10 06:25:01,123 WARNING shop.orders: order 17 took 3.2 s"]
        >>> driftline.parse(lines).select(["level", "component", "template"]).to_pylist()
        [{'level': 'warn', 'component': 'shop.orders', 'template': 'order <NUM> took <NUM>.<NUM> s'}]
    """
    settings = _settings(format, session_key, timezone)
    records: list[JsonRecord] = []
    for file, batches in _streams(lines):
        records += _records(settings, batches, file)
    return table_of_records(records, (*COLUMNS, *_PLACE))


def classify(
    lines: LogInput,
    model: str = BUILT_IN,
    *,
    store: str | PathLike[str] = "models-store",
    version: int | None = None,
    explain: bool = False,
    format: str = "auto",
    timezone: str = "UTC",
) -> Table:
    """Classify each record of a log into seven categories.

    Args:
        lines: See `parse`.
        model: Line classifier in the store; `rules` needs no training and no store.
        store: Folder or fsspec URL of the model store.
        version: Version of the model; the current one if None.
        explain: Whether to fill the column `reasons`; costs far more time.
        format: See `parse`.
        timezone: See `parse`.

    Returns:
        The table of `parse` with the columns `class`, one `p_CLASS` per class (its probability), and `reasons`.

    Raises:
        DriftlineError: a file cannot be read, the model is missing, or an option is unknown.

    Example:
        >>> import driftline
        >>> table = driftline.classify(["Mar 10 06:25:01 web-1 kernel: Out of memory: Killed process 4711 (java)"])
        >>> table["class"].to_pylist()
        ['performance_issue']
    """
    settings = _settings(format, "", timezone)
    scorer = load_scorer(fspath(store), model, version)
    records: list[JsonRecord] = []
    for file, batches in _streams(lines):
        records += _records(settings, batches, file, lambda parser: LogClassifier(parser, scorer, explain=explain))
    return table_of_records(records, (*CLASS_COLUMNS, *_PLACE))


def _settings(format: str, session_key: str, timezone: str) -> ParseSettings:
    return validated(ParseSettings, {"format": format, "session_key": session_key, "timezone": timezone}, "")


def _records(
    settings: ParseSettings,
    batches: Iterable[LineBatch],
    file: str,
    judge: Callable[[Parser], Judge | None] = lambda _: None,
) -> list[JsonRecord]:
    """The records of one stream; `judge` adds fields to them, given the parser."""
    parser = Parser(settings, lambda partition, position: f"{partition}, {position}")
    reader = RecordReader(parser, judge(parser))
    records = [record for batch in batches for record in reader.add(batch)] + reader.finish()
    return [{**record, "file": file} for record in records]


def _streams(lines: LogInput) -> Iterator[tuple[str, Iterable[LineBatch]]]:
    """Every stream by the name of its file; lines in memory are one stream without a file."""
    if isinstance(lines, str | PathLike):
        for file in log_files((Path(fspath(lines)),)):
            yield str(file), file_batches(file)
    else:
        yield "", _memory_batches(lines)


def _memory_batches(lines: Iterable[Any]) -> Iterator[LineBatch]:
    """Batches whose positions are indexes of the lines given; a line end within one of them begins a new line."""
    pieces: list[bytes] = []
    indexes: list[int] = []
    for index, line in enumerate(lines):
        for piece in _bytes_of(line):
            pieces.append(piece)
            indexes.append(index)
    yield from _placed(MemorySource({"lines": pieces}, batch_lines=_BATCH_LINES), indexes)


def _placed(source: MemorySource, indexes: list[int]) -> Iterator[LineBatch]:
    places, partition = np.array(indexes, np.int64), source.open("lines", None)
    while True:
        try:
            batch = partition.next_batch()
        except StopIteration:
            return
        if batch is not None:
            yield replace(batch, positions=places[batch.positions])


def _bytes_of(line: Any) -> list[bytes]:
    value = line.as_py() if hasattr(line, "as_py") else line  # an Arrow column gives scalars
    # pandas writes missing text as NaN, or as a value of a type of its own.
    if value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType":
        return []
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass")
    if not isinstance(value, bytes):
        raise DatasetError(f"a line is text or bytes, not {type(value).__name__}: {value!r:.80}")
    return value.removesuffix(b"\n").split(b"\n")
