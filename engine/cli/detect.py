"""`driftline evaluate` and `driftline score`: detection on files."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.input_files import stored_logs
from engine.cli.options import (
    Data,
    Detector,
    FormatName,
    Json,
    KeepCut,
    Labels,
    LogNames,
    Name,
    Region,
    StoreUrl,
    Version,
    Window,
    WindowSet,
    setup,
)  # fmt: skip
from engine.cli.output import console, print_figures, print_json, progress_bar, table

if TYPE_CHECKING:
    from engine.offline.detect import Preprocessing, ScoredLog
    from engine.offline.evaluate import Evaluation
    from engine.offline.inputs import LogSpec


def evaluate(
    data: Data,
    labels: Labels = None,
    region: Region = None,
    format: FormatName = "auto",
    window: Window = "session",
    window_set: WindowSet = None,
    store: StoreUrl = None,
    name: Name = None,
    version: Version = None,
    detector: Detector = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Another model of the store to compare with, NAME or NAME:VERSION. May be repeated."),
    ] = None,
    after: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Leave out this first share of the sessions, by time.")
    ] = 0.0,
    keep_cut: KeepCut = False,
    out: Annotated[Path | None, typer.Option(help="Folder for metrics.json, plots and report.html.")] = None,
    json: Json = False,
) -> None:
    """Compare the scores of stored models with the labels of a log, by session where lines have a session key.

    Example: driftline evaluate --model bert_cnn --against event_counts --data app.log --labels labels.csv
    --after 0.5 --out report
    """
    from engine.offline import evaluation_report as report
    from engine.offline.inputs import LogSpec
    from foundation.extras import require

    if out is not None:
        require("evaluation", "the evaluation report")
        report.prepare(out)
    asked = [*([] if detector else [(name, version)]), *(_named(text) for text in against or [])]
    settings = setup(region, format, window, window_set, store, name)
    with stored_logs(data) as logs:
        evaluation = _evaluate(LogSpec(logs, labels), settings, detector, asked, after, keep_cut, json)
    document = evaluation.document() if out is None else report.write(evaluation, out)
    for sentence in evaluation.warnings:
        print(f"warning: {sentence}", file=sys.stderr)
    if json:
        print_json(document)
        return
    columns = {
        judged.title: {
            "units": len(judged.units.labels), "anomalous": judged.units.labels.sum(), **judged.figures(),
            "threshold": judged.threshold,
        }
        for judged in (evaluation.main, *evaluation.others)
    }  # fmt: skip
    print_figures(f"by {evaluation.unit} on {evaluation.spec.title}", columns)
    cut = _cut(evaluation.counts["cut_sessions"], evaluation.counts["cut_sessions_judged"] > 0)
    for sentence in (cut, evaluation.floor(), f"report: {out / 'report.html'}" if out else ""):
        if sentence:
            console().print(sentence, soft_wrap=True)


def _cut(sessions: int, kept: bool) -> str:
    """One sentence about the sessions that the end of a file cuts off; "" if there are none."""
    if not sessions:
        return ""
    what = "judged as if they were complete" if kept else "left out; --keep-cut judges them too"
    return f"sessions that are still open at the end of their file: {sessions:,}, {what}"


def _named(text: str) -> tuple[str, int | None]:
    """NAME or NAME:VERSION."""
    name, colon, version = text.partition(":")
    if colon and not version.isdecimal():
        raise typer.BadParameter(f"--against {text}: NAME or NAME:VERSION is expected, such as event_counts:3")
    return name, int(version) if colon else None


def _evaluate(
    spec: "LogSpec", settings: "tuple[Preprocessing, str, str, str]", detector: str | None,
    asked: list[tuple[str | None, int | None]], after: float, keep_cut: bool, quiet: bool,
) -> "Evaluation":  # fmt: skip
    """Score the log with each requested model; the log is read once, with the first model's gap unless one is set."""
    from engine.offline import trained_lines
    from engine.offline.detect import as_trained, load_units, score_windows, untrained
    from engine.offline.evaluate import EvaluatedModel, Evaluation
    from engine.offline.inputs import log_files, sha256
    from models.storage.store import ModelStore
    from models.text.embeddings import embedding_cache

    preprocessing, url, called, device = settings
    models = [untrained(detector)] if detector else []
    models += [ModelStore(url).load(n or called, v, device=device, cache=embedding_cache()) for n, v in asked]
    preprocessing = as_trained(preprocessing, models[0].card)
    with progress_bar(quiet) as bar:
        task = bar.add_task("reading", total=None, figures="")
        windows = load_units(spec, preprocessing, after=after, keep_cut=keep_cut)
        judged = []
        for stored in models:
            bar.update(task, description=f"scoring {stored.card.name}", completed=0, total=len(windows))
            scored = score_windows(windows, stored, lambda done, total: bar.update(task, completed=done, total=total))
            judged.append(EvaluatedModel.of(scored))
    counts = {
        "windows": len(windows), "lines": windows.lines, "bad_lines": windows.bad_lines,
        "late_lines": windows.late_lines, "unlabelled_windows": windows.unlabelled,
        "cut_sessions": windows.cut_sessions, "cut_sessions_judged": windows.cut_sessions * bool(windows.cut.any()),
    }  # fmt: skip
    log_sha256 = sha256(log_files(spec.names))
    warnings = (trained_lines.warning(m.card, spec.title, log_sha256, windows) for m in models)
    return Evaluation(
        judged[0], tuple(judged[1:]), spec, preprocessing, after, counts, log_sha256, tuple(filter(None, warnings))
    )


def score(
    files: LogNames,
    region: Region = None,
    format: FormatName = "auto",
    window: Window = "session",
    window_set: WindowSet = None,
    store: StoreUrl = None,
    name: Name = None,
    version: Version = None,
    detector: Detector = None,
    top: Annotated[int, typer.Option(min=1, help="Rows of the table: the most anomalous windows.")] = 20,
    keep_cut: KeepCut = False,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object per window, for all windows, in stream order.")
    ] = False,
) -> None:
    """Score every window of log files and show the most anomalous.

    Example: driftline score app.log --region eu-west.toml --top 10
    """
    from engine.offline.detect import as_trained, load_units, score_windows, untrained
    from engine.offline.inputs import LogSpec
    from models.storage.store import ModelStore
    from models.text.embeddings import embedding_cache

    preprocessing, url, called, device = setup(region, format, window, window_set, store, name)
    if detector:
        stored = untrained(detector)
    else:
        stored = ModelStore(url).load(called, version, device=device, cache=embedding_cache())
    preprocessing = as_trained(preprocessing, stored.card)
    with stored_logs(files) as logs, progress_bar(json) as bar:
        spec = LogSpec(logs, supervised=False)
        task = bar.add_task("scoring", total=None, figures="")
        windows = load_units(spec, preprocessing, keep_cut=keep_cut)
        scored = score_windows(windows, stored, lambda done, total: bar.update(task, completed=done, total=total))
    if json:
        for i in range(len(scored.scores)):
            print_json(_window(scored, i))
        return
    _print_scores(scored, f"{spec.title}: {scored.model}{f' version {scored.version}' if scored.version else ''}", top)


def _window(scored: "ScoredLog", i: int) -> dict[str, Any]:
    """What is reported about window `i`."""
    from foundation.time_text import iso_time

    data = scored.data
    return {
        "session": data.keys[i],
        "score": float(scored.scores[i]),
        "anomalous": bool(scored.scores[i] >= scored.threshold),
        "lines": int(data.windows.offsets[i + 1] - data.windows.offsets[i]),
        "closed": bool(data.windows.closed[i]),
        "first_time": iso_time(int(data.first_ns[i])),
        "last_time": iso_time(int(data.last_ns[i])),
    }


def _print_scores(scored: "ScoredLog", title: str, top: int) -> None:
    """The most anomalous windows, and how many reach the threshold."""
    windows = table("session", "score", "lines", "from", "to", title=title)
    for i in (-scored.scores).argsort(kind="stable")[:top].tolist():
        row = _window(scored, i)
        windows.add_row(
            row["session"] or "-", f"{row['score']:.4f}", f"{row['lines']}", row["first_time"][:19],
            row["last_time"][:19], style="red" if row["anomalous"] else None,
        )  # fmt: skip
    screen = console()
    screen.print(windows)
    count = int((scored.scores >= scored.threshold).sum())
    screen.print(f"{count:,} of {len(scored.scores):,} windows reach the threshold {scored.threshold:.6g}")
    if sentence := _cut(scored.data.cut_sessions, bool(scored.data.cut.any())):
        screen.print(sentence, soft_wrap=True)
