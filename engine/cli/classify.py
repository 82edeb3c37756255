"""`driftline classify`: a category for every record of a log."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.input_files import log_files, open_writer
from engine.cli.options import DetectedFormat, Json, LogNames, Timezone
from engine.cli.output import console, print_json, progress_bar, table

if TYPE_CHECKING:
    from rich.console import Console

    from engine.cli.input_files import LogFiles
    from engine.offline.classify import LogClassifier
    from engine.offline.export import RecordReader, Writer
    from engine.steps.parse import Parser


def classify(
    paths: LogNames,
    name: Annotated[
        str, typer.Option("--model", "--name", help="Line classifier in the store; rules needs no store.")
    ] = "rules",
    store: Annotated[str, typer.Option(help="Folder or fsspec URL of the model store.")] = "models-store",
    version: Annotated[int | None, typer.Option(help="Version; the current one if not given.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the records; - for standard output.")
    ] = None,
    to: Annotated[str, typer.Option(help="With --output: jsonl, csv or parquet.")] = "jsonl",
    explain: Annotated[bool, typer.Option("--explain", help="With --output: add the reasons for each class.")] = False,
    format: DetectedFormat = "auto",
    timezone: Timezone = "UTC",
    json: Json = False,
) -> None:
    """Classify each record of logs into one of seven categories, and count them.

    Example: driftline classify app.log --model xgboost -o classes.jsonl --explain
    """
    from engine.offline.classify import CLASS_COLUMNS, LogClassifier, load_scorer
    from engine.offline.export import RecordReader
    from engine.steps.parse import Parser, ParseSettings
    from foundation.settings_errors import validated

    if output is None and (explain or to != "jsonl"):
        raise typer.BadParameter("--explain and --to have no effect without --output")
    settings = validated(ParseSettings, {"format": format, "timezone": timezone}, "")
    files = log_files(paths)
    scorer = load_scorer(store, name, version)
    parser = Parser(settings, files.describe)
    judge = LogClassifier(parser, scorer, explain=explain)
    with ExitStack() as stack:
        if output is None:
            _count(files, parser, judge, json)
        else:
            _write(files, RecordReader(parser, judge), open_writer(output, to, CLASS_COLUMNS, stack), json)
    summary = _summary(judge, parser, f"{name} version {scorer.version}" if scorer.version else name)
    if json:
        print_json(summary, stderr=str(output) == "-")
    else:
        _show(summary, console(stderr=str(output) == "-"))


def _count(files: "LogFiles", parser: "Parser", judge: "LogClassifier", quiet: bool) -> None:
    with progress_bar(quiet) as bar:
        task, lines, templates = bar.add_task("classifying", total=None, figures=""), 0, dict[int, str]()
        for batch in files.batches():
            parsed = parser.parse(batch)
            templates |= parsed.good.templates
            judge(parsed, templates)
            lines += len(batch)
            bar.update(task, figures=f"{lines:,} lines")


def _write(files: "LogFiles", reader: "RecordReader", writer: "Writer", quiet: bool) -> None:
    with progress_bar(quiet) as bar:
        task = bar.add_task("classifying", total=None, figures="")
        for batch in files.batches():
            writer.write(reader.add(batch))
            bar.update(task, figures=f"{reader.lines:,} lines")
        writer.write(reader.finish())
        writer.close()


def _summary(judge: "LogClassifier", parser: "Parser", model: str) -> dict[str, Any]:
    from models.classify.base import CLASSES

    by_format = {name: row for name, row in zip(parser.formats, judge.formats.tolist(), strict=True) if sum(row)}
    return {
        "model": model,
        "records": int(judge.classes.sum()),
        "anomaly_rate": round(judge.anomaly_rate, 6),
        "classes": dict(zip(CLASSES, judge.classes.tolist(), strict=True)),
        "formats": {name: dict(zip(CLASSES, row, strict=True)) for name, row in by_format.items()},
    }


def _show(summary: dict[str, Any], screen: "Console") -> None:
    total = max(summary["records"], 1)
    classes_table = table("class", "records", "share", title=f"classes by {summary['model']}")
    for name, count in sorted(summary["classes"].items(), key=lambda item: -item[1]):
        classes_table.add_row(name, f"{count:,}", f"{count / total:.2%}")
    screen.print(classes_table)
    formats_table = table("format", "records", "share", "not normal", title="formats")
    for name, classes in sorted(summary["formats"].items(), key=lambda item: -sum(item[1].values())):
        count = sum(classes.values())
        formats_table.add_row(name, f"{count:,}", f"{count / total:.2%}", f"{count - classes['normal']:,}")
    screen.print(formats_table)
    screen.print(f"{summary['records']:,} records, {summary['anomaly_rate']:.2%} of them not normal")
