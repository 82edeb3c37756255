"""`driftline label`: weak labels for the records of a log, by rules."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.input_files import log_files, open_writer
from engine.cli.options import DetectedFormat, Json, LogNames, Timezone
from engine.cli.output import console, print_json, progress_bar, table


def label(
    paths: LogNames,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.", show_default=False)],
    to: Annotated[str, typer.Option(help="csv or jsonl; from the name of the output file if not given.")] = "",
    rules: Annotated[str, typer.Option(help="Rule file in TOML; the built-in rules if not given.")] = "",
    min_confidence: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Rules with a lower confidence are ignored.")
    ] = 0.5,
    format: DetectedFormat = "auto",
    timezone: Timezone = "UTC",
    json: Json = False,
) -> None:
    """Label each record of logs by rules, with a confidence; a record that no rule matches has no label.

    Review the file before training a line classifier on it with `driftline train`.

    Example: driftline label app.log -o labelled.csv
    """
    from engine.offline.export import RecordReader
    from engine.offline.label import LABEL_COLUMNS, LogLabeller
    from engine.steps.parse import Parser, ParseSettings
    from foundation.settings_errors import validated
    from models.classify.rules import Rules, RulesSettings

    kind = to or output.suffix.removeprefix(".")
    if kind not in ("csv", "jsonl"):
        raise typer.BadParameter(f"--output {output}: labels are written as csv or jsonl; choose one with --to")
    settings = validated(ParseSettings, {"format": format, "timezone": timezone}, "")
    files = log_files(paths)
    labeller = LogLabeller(Rules(RulesSettings(file=rules, min_confidence=min_confidence)))
    reader = RecordReader(Parser(settings, files.describe), labeller)
    with ExitStack() as stack, progress_bar(json) as bar:
        writer = open_writer(output, kind, LABEL_COLUMNS, stack)
        task = bar.add_task("labelling", total=None, figures="")
        for batch in files.batches():
            writer.write(reader.add(batch))
            bar.update(task, figures=f"{reader.lines:,} lines")
        writer.write(reader.finish())
        writer.close()
    records, abstained = sum(labeller.classes.values()), labeller.classes.pop("", 0)
    labeller.rules.pop("", None)
    summary = {"records": records, "abstained": abstained, "classes": labeller.classes, "rules": labeller.rules}
    if json:
        print_json(summary)
        return
    screen = console()
    for title, counts in (("class", labeller.classes), ("rule", labeller.rules)):
        shares = table(title, "records", "share")
        for name, count in sorted(counts.items(), key=lambda item: -item[1]):
            shares.add_row(name, f"{count:,}", f"{count / max(records, 1):.2%}")
        screen.print(shares)
    screen.print(f"{records:,} records, {abstained:,} of them without a label; written to {output}", soft_wrap=True)
