"""`driftline scan`: what is new or unusual in unlabelled logs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.options import Json, LogNames
from engine.cli.output import progress_bar
from engine.cli.times import duration_ns, since_ns
from foundation.time_text import iso_time

if TYPE_CHECKING:
    from engine.cli.input_files import LogFiles
    from engine.offline.scan import Input, LogScan


def scan(
    paths: LogNames,
    baseline: Annotated[
        str | None,
        typer.Option(help="Files to learn from, or how much of the log's own time to learn from, such as 2d."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Report only findings after this time (ISO 8601) or so long before the end.")
    ] = None,
    format: Annotated[str, typer.Option("--format", help="Log format; auto detects it.")] = "auto",
    timezone: Annotated[str, typer.Option(help="IANA name of the time zone of times without one.")] = "UTC",
    top: Annotated[int, typer.Option(min=1, help="Findings shown on the screen.")] = 10,
    json: Json = False,
    html: Annotated[Path | None, typer.Option(help="File for a report with a timeline.")] = None,
    fail_on: Annotated[
        str | None, typer.Option(help="Exit with code 1 if a finding is at least info, low, medium, high or critical.")
    ] = None,
) -> int:  # fmt: skip
    """Find what is new or unusual in logs: no labels, no model, no settings.

    Example: driftline scan /var/log/syslog /var/log/nginx --html report.html
    """
    from engine.cli.input_files import LogFiles, found_files
    from engine.offline.scan import LogScan, sources_of
    from engine.offline.scan_files import inputs_of
    from engine.steps.parse import Parser, ParseSettings
    from foundation.documents.alert import SEVERITIES
    from foundation.settings_errors import validated

    if fail_on is not None and fail_on not in SEVERITIES:
        raise typer.BadParameter(f"--fail-on {fail_on}: one of {', '.join(SEVERITIES)} is expected")
    settings = validated(ParseSettings, {"format": format, "timezone": timezone}, "")
    # An existing file named `2d` takes precedence over the duration.
    baseline_ns = None if baseline is None or Path(baseline).exists() else duration_ns(baseline)
    past = found_files([] if baseline is None or baseline_ns is not None else [baseline])
    inputs = inputs_of(found_files(paths), past)
    files = LogFiles([given.file for given in inputs])
    running = LogScan(
        lambda: Parser(settings, files.describe),
        baseline_ns=baseline_ns,
    )  # fmt: skip
    _read(running, files, inputs, quiet=json)
    documents = _since(running.documents(), running, since)
    summary = list(sources_of(running))
    if html is not None:
        from engine.offline.scan_report import page

        html.write_text(page(running, documents, summary), "utf-8")
    if json:
        import orjson

        sys.stdout.write(
            orjson.dumps({"sources": summary, "findings": documents}, option=orjson.OPT_INDENT_2).decode() + "\n"
        )
    else:
        from engine.cli.scan_text import show

        show(documents, summary, top)
    worst = max((SEVERITIES.index(found["severity"]) for found in documents), default=-1)
    return int(fail_on is not None and worst >= SEVERITIES.index(fail_on))


def _read(running: "LogScan", files: "LogFiles", inputs: "list[Input]", *, quiet: bool) -> None:
    """Read all files in order; report new findings on standard error meanwhile."""
    from engine.cli.input_files import batches_and_lag

    known = {given.source for given in inputs if given.learn}
    sizes: dict[str, float] = {}
    for given in inputs:
        sizes[given.source] = sizes.get(given.source, 0.0) + (0.0 if given.learn else given.text_bytes)
    before, before_source = 0.0, dict.fromkeys(sizes, 0.0)
    with progress_bar(quiet or not sys.stderr.isatty()) as bar:
        task = bar.add_task("reading", total=sum(given.text_bytes for given in inputs) or None, figures="")
        for given in inputs:
            if not given.learn:
                running.source(given.source, known=given.source in known)
            for batch, left in batches_and_lag(files.open(given.file)):
                done = 0.0 if left is None else given.read(left)
                share = None
                if left is not None and not given.learn:
                    share = min(1.0, (before_source[given.source] + done) / max(1.0, sizes[given.source]))
                found = running.add(batch, given, share=share)
                for source, finding in found if not quiet else ():
                    bar.console.print(
                        f"[dim]{source.name}: something at line {finding.first + 1:,} …[/dim]",
                        highlight=False, soft_wrap=True,
                    )  # fmt: skip
                bar.update(
                    task, completed=before + done, figures=f"{sum(s.lines for s in running.sources.values()):,} lines"
                )
            before += given.text_bytes
            before_source[given.source] += 0.0 if given.learn else given.text_bytes
        running.finish()
    for sentence in [text for source in running.sources.values() for text in source.damage]:
        print(f"warning: {sentence}", file=sys.stderr)


def _since(documents: list[dict[str, Any]], running: "LogScan", since: str | None) -> list[dict[str, Any]]:
    """The findings that last until after a time, ranked again."""
    if since is None:
        return documents
    end_ns = max((source.last_ns for source in running.sources.values()), default=0)
    limit = iso_time(since_ns("--since", since, end_ns))
    kept = [found for found in documents if found["until"] >= limit]
    return [{**found, "rank": rank} for rank, found in enumerate(kept, start=1)]
