"""`driftline parse`: any log as JSON lines, CSV or Parquet."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from connectors.base import LineBatch, Source

MAX_LINE_BYTES = 16 << 20


def parse(
    file: Annotated[str, typer.Argument(help="Log file: plain, .gz, .xz or .zst; or -.", show_default=False)],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write, else standard output.")] = None,
    to: Annotated[str, typer.Option(help="jsonl, csv or parquet.")] = "jsonl",
    format: Annotated[str, typer.Option("--format", help="Log format; auto recognises it.")] = "auto",
    session_key: Annotated[str, typer.Option(help="Session rule of the format, or a pattern with a group key.")] = "",
    timezone: Annotated[str, typer.Option(help="IANA name of the zone of times that are written without one.")] = "UTC",
) -> None:  # fmt: skip
    """Take a log apart: time, level, host, component, pid, session key, template and message of every record.

    Example: driftline parse app.log --to parquet -o app.parquet
    """
    from pydantic import ValidationError

    from engine.parse import Parser, ParseSettings
    from engine.parsing.export import WRITERS, RecordReader

    if to not in WRITERS:
        raise typer.BadParameter(f"--to {to}: known are {', '.join(WRITERS)}")
    if to == "parquet" and output is None and sys.stdout.isatty():
        raise typer.BadParameter("Parquet is not for the screen: name a file with --output")
    try:
        settings = ParseSettings(format=format, session_key=session_key, timezone=timezone)
    except ValidationError as error:
        raise typer.BadParameter("; ".join(e["msg"] for e in error.errors())) from error
    source = _source(file)
    reader = RecordReader(Parser(settings, source.describe, fields=True))
    with ExitStack() as stack:
        out = sys.stdout.buffer if output is None else stack.enter_context(output.open("wb"))
        try:
            writer = WRITERS[to](out)
        except ImportError as error:
            raise typer.BadParameter("Parquet needs pyarrow: pip install 'driftline[data]'") from error
        for batch in _batches(source):
            writer.write(reader.add(batch))
        writer.write(reader.finish())
        writer.close()
    formats = ", ".join(f"{name} {n:,}" for name, n in sorted(reader.formats.items(), key=lambda item: -item[1]))
    print(
        f"{reader.lines:,} lines: {sum(reader.formats.values()):,} records ({formats or 'none'}), "
        f"{reader.joined:,} lines joined, {reader.bad:,} not parsed"
        + (f"; the first: {reader.first_bad}" if reader.first_bad else ""),
        file=sys.stderr,
    )


def _source(file: str) -> "Source":
    from connectors.base import SourceUnavailable
    from connectors.files import FileSettings, FileSource
    from connectors.stdin import StdinSettings, StdinSource

    if file == "-":
        return StdinSource(StdinSettings(max_line_bytes=MAX_LINE_BYTES))
    if not Path(file).is_file():
        raise SourceUnavailable(f"the log {file} is not there")
    return FileSource(FileSettings(paths=(file,), max_line_bytes=MAX_LINE_BYTES))


def _batches(source: "Source") -> "Iterator[LineBatch]":
    for name in source.partitions():
        partition = source.open(name, None)
        try:
            while True:
                try:
                    batch = partition.next_batch()
                except StopIteration:
                    break
                if batch is not None:
                    yield batch
        finally:
            partition.close()
