"""Logs given on the command line: a file, plain or compressed, or standard input."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from connectors.base import LineBatch, Source
    from engine.offline.export import Writer

MAX_LINE_BYTES = 16 << 20


def log_source(file: str) -> "Source":
    """The source of a file, or of standard input for `-`.

    Raises:
        SourceUnavailableError: the file does not exist.
    """
    from connectors.base import SourceUnavailableError
    from connectors.files import FileSettings, FileSource
    from connectors.stdin import StdinSettings, StdinSource

    if file == "-":
        return StdinSource(StdinSettings(max_line_bytes=MAX_LINE_BYTES))
    if not Path(file).is_file():
        raise SourceUnavailableError(f"{file}: no such file")
    return FileSource(FileSettings(paths=(file,), max_line_bytes=MAX_LINE_BYTES))


class LogFiles:
    """Files read one after the other, and the places of the lines of the current one."""

    def __init__(self) -> None:
        self._source: Source | None = None

    def open(self, file: str) -> "Source":
        """See `log_source`."""
        self._source = log_source(file)
        return self._source

    def describe(self, partition: str, position: int) -> str:
        """See `Source.describe`; call it once a file is open."""
        return "" if self._source is None else self._source.describe(partition, position)


def batches(source: "Source") -> "Iterator[LineBatch]":
    """All lines of a source that ends."""
    for batch, _ in batches_and_lag(source):
        yield batch


def batches_and_lag(source: "Source") -> "Iterator[tuple[LineBatch, int | None]]":
    """All lines of a source that ends, each batch with what is left behind it, see `SourcePartition.lag`."""
    from engine.runtime.malloc import keep_freed_memory

    keep_freed_memory()
    for name in source.partitions():
        partition = source.open(name, None)
        try:
            while True:
                try:
                    batch = partition.next_batch()
                except StopIteration:
                    break
                if batch is not None:
                    yield batch, partition.lag()
        finally:
            partition.close()


def open_writer(output: Path | None, to: str, columns: Sequence[str], stack: ExitStack) -> "Writer":
    """A writer of records to a file, or to standard output for None and `-`; `stack` closes it.

    Raises:
        typer.BadParameter: the kind of file is unknown, the file cannot be written, or Parquet would go to a terminal.
    """
    from engine.offline.export import WRITERS

    if to not in WRITERS:
        raise typer.BadParameter(f"--to {to}: known are {', '.join(WRITERS)}")
    screen = output is None or str(output) == "-"
    if to == "parquet" and screen and sys.stdout.isatty():
        raise typer.BadParameter("Parquet cannot be shown on a terminal: name a file with --output")
    try:
        out = sys.stdout.buffer if output is None or screen else stack.enter_context(output.open("wb"))
        return WRITERS[to](out, columns)
    except OSError as error:
        raise typer.BadParameter(f"--output {output}: cannot be written: {error.strerror}") from error
