"""`driftline parse`: logs as JSON lines, CSV or Parquet."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.input_files import log_files, open_writer
from engine.cli.options import DetectedFormat, LogNames, Timezone


def parse(
    paths: LogNames,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; standard output if not given.")
    ] = None,
    to: Annotated[str, typer.Option(help="Kind of output: jsonl, csv or parquet.")] = "jsonl",
    format: DetectedFormat = "auto",
    session_key: Annotated[
        str, typer.Option(help="Session rule of the format, or a regular expression with a group key.")
    ] = "",
    timezone: Timezone = "UTC",
) -> None:
    """Parse logs into structured records: time, level, host, component, pid, session key, template and message.

    Example: driftline parse app.log --to parquet -o app.parquet
    """
    from engine.offline.export import COLUMNS, RecordReader
    from engine.steps.parse import Parser, ParseSettings
    from foundation.settings_errors import validated

    settings = validated(ParseSettings, {"format": format, "session_key": session_key, "timezone": timezone}, "")
    files = log_files(paths)
    reader = RecordReader(Parser(settings, files.describe))
    with ExitStack() as stack:
        writer = open_writer(output, to, COLUMNS, stack)
        for batch in files.batches():
            writer.write(reader.add(batch))
        writer.write(reader.finish())
        writer.close()
    formats = ", ".join(f"{name} {n:,}" for name, n in sorted(reader.formats.items(), key=lambda item: -item[1]))
    print(
        f"{reader.lines:,} lines: {sum(reader.formats.values()):,} records ({formats or 'none'}), "
        f"{reader.joined:,} lines joined, {reader.bad:,} not parsed"
        + (f", {reader.undated:,} records have no time but that of reading" if reader.undated else "")
        + (f"; the first: {reader.first_bad}" if reader.first_bad else ""),
        file=sys.stderr,
    )
