"""`driftline label`: weak labels for a log that nobody labelled, by rules."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.input_files import batches, log_source, open_writer
from engine.cli.options import Json
from engine.cli.output import console, print_json, progress_bar, table


def label(
    file: Annotated[str, typer.Argument(help="Log file: plain, .gz, .xz or .zst; or -.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.", show_default=False)],
    to: Annotated[str, typer.Option(help="csv or jsonl; by the name of the file if not given.")] = "",
    rules: Annotated[str, typer.Option(help="Rule file in TOML; the package's own if not given.")] = "",
    min_confidence: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Rules with less confidence give no label.")
    ] = 0.5,
    format: Annotated[str, typer.Option("--format", help="Log format; auto recognises it.")] = "auto",
    timezone: Annotated[str, typer.Option(help="IANA name of the zone of times that are written without one.")] = "UTC",
    json: Json = False,
) -> None:  # fmt: skip
    """Give every record of a log the class that a rule says, with its confidence; none where no rule holds.

    The file is what `driftline train` takes for line classifiers, after somebody has looked it through.

    Example: driftline label app.log -o labelled.csv
    """
    from engine.offline.export import RecordReader
    from engine.offline.label import LABEL_COLUMNS, LogLabeller
    from engine.steps.parse import Parser, ParseSettings
    from foundation.settings_errors import validated
    from models.classify.rules import Rules, RulesSettings

    kind = to or output.suffix.removeprefix(".")
    if kind not in ("csv", "jsonl"):
        raise typer.BadParameter(f"--output {output}: labels are written as csv or jsonl; say which with --to")
    settings = validated(ParseSettings, {"format": format, "timezone": timezone}, "")
    source = log_source(file)
    labeller = LogLabeller(Rules(RulesSettings(file=rules, min_confidence=min_confidence)))
    reader = RecordReader(Parser(settings, source.describe), labeller)
    with ExitStack() as stack, progress_bar(json) as bar:
        writer = open_writer(output, kind, LABEL_COLUMNS, stack)
        task = bar.add_task("labelling", total=None, figures="")
        for batch in batches(source):
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
