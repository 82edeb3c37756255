"""Logs given on the command line: files, plain or compressed, folders, globs and standard input."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO

import typer

if TYPE_CHECKING:
    from connectors.base import LineBatch, Source
    from engine.offline.export import Writer

MAX_LINE_BYTES = 16 << 20


def found_files(names: Sequence[str]) -> tuple[str, ...]:
    """The files of `engine.offline.inputs.find_logs`, `-` among them; warns about those that are left out.

    Raises:
        DatasetError: a name has no file, or the file that it names is not a log.
    """
    from engine.offline.inputs import find_logs

    found = find_logs(names)
    for sentence in found.skipped:
        print(f"warning: {sentence}", file=sys.stderr)
    return tuple(map(str, found.files))


@contextmanager
def stored_logs(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The names of logs that can be read more than once: what comes from a pipe is kept in a file meanwhile.

    Raises:
        DatasetError: a name has no file, or the file that it names is not a log.
    """
    from engine.offline.inputs import STANDARD_INPUT

    found_files(names)
    with TemporaryDirectory(prefix="driftline-") as folder:
        stored = []
        for number, name in enumerate(names):
            if name != STANDARD_INPUT and not Path(name).is_fifo():
                stored.append(name)
                continue
            copy = Path(folder, str(number), "stdin" if name == STANDARD_INPUT else Path(name).name)
            copy.parent.mkdir()
            with _opened(name) as source, copy.open("wb") as file:
                shutil.copyfileobj(source, file)
            stored.append(str(copy))
        yield tuple(stored)


class LogFiles:
    """Files read one after the other, and the places of the lines of the current one.

    Attributes:
        files: Paths, and `-` for standard input.
    """

    def __init__(self, files: Sequence[str]) -> None:
        """Takes what `found_files` gives."""
        self.files = tuple(files)
        self._source: Source | None = None

    def open(self, file: str) -> "Source":
        """The source of a file.

        Raises:
            SourceUnavailableError: it cannot be opened.
        """
        self._source = _source(file)
        return self._source

    def describe(self, partition: str, position: int) -> str:
        """See `Source.describe`; call it once a file is open."""
        return "" if self._source is None else self._source.describe(partition, position)

    def batches(self) -> "Iterator[LineBatch]":
        """All lines of all files.

        Raises:
            DatasetError: what standard input holds is not a log.
        """
        for file in self.files:
            for batch, _ in batches_and_lag(self.open(file)):
                yield batch


def log_files(names: Sequence[str]) -> LogFiles:
    """The logs that a command was given, to be read once.

    Raises:
        DatasetError: a name has no file, or the file that it names is not a log.
    """
    return LogFiles(found_files(names))


def batches_and_lag(source: "Source") -> "Iterator[tuple[LineBatch, int | None]]":
    """All lines of a source that ends, each batch with what is left behind it, see `SourcePartition.lag`.

    Raises:
        DatasetError: what the source holds is not a log.
    """
    from engine.offline.inputs import DatasetError, refusal_in
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
                if batch is None:
                    continue
                if reason := refusal_in(batch):
                    raise DatasetError(f"{batch.partition} {reason}")
                yield batch, partition.lag()
        finally:
            partition.close()


def _source(file: str) -> "Source":
    from connectors.files import FileSettings, FileSource
    from connectors.stdin import StdinSettings, StdinSource
    from engine.offline.inputs import STANDARD_INPUT

    if file == STANDARD_INPUT:
        return StdinSource(StdinSettings(max_line_bytes=MAX_LINE_BYTES))
    if Path(file).is_fifo():
        # Closed with the process: a source reads it until its other end is closed.
        return StdinSource(StdinSettings(max_line_bytes=MAX_LINE_BYTES), fd=os.open(file, os.O_RDONLY | os.O_CLOEXEC))
    return FileSource(FileSettings(paths=(file,), max_line_bytes=MAX_LINE_BYTES))


def _opened(name: str) -> BinaryIO:
    from engine.offline.inputs import STANDARD_INPUT

    return os.fdopen(os.dup(sys.stdin.fileno()), "rb") if name == STANDARD_INPUT else Path(name).open("rb")


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
