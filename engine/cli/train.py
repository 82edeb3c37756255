"""`driftline train`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.input_files import stored_logs
from engine.cli.options import (
    LABELS_HELP,
    FormatName,
    Json,
    Name,
    Region,
    Runs,
    Set,
    StoreUrl,
    ThresholdSet,
    Window,
    WindowSet,
    numbers,
    pairs,
    setup,
)  # fmt: skip
from engine.cli.output import console, print_figures, print_json, progress_bar
from engine.cli.run_logging import record, run_of
from engine.cli.train_lines import refuse_window_options, stages, train_lines

if TYPE_CHECKING:
    from engine.offline.datasets import LabelledWindows
    from engine.offline.detect import Preprocessing
    from engine.offline.inputs import LogSpec
    from models.train_detector import Trained, TrainSettings


# Written out, since importing both registries would cost every command half a second; a test compares them.
DETECTOR_HELP = (
    "Window detector: bert_cnn, deeplog, event_counts, logbert, lstm_autoencoder; or line classifier: dann_bert, "
    "hybrid_bert, lora_bert, random_forest, rules, xgboost."
)
_DATA = (
    "Log file (plain, .gz, .bz2, .xz, .zst, .lz4), folder, glob, or - for standard input. May be repeated. For a line "
    "classifier: one .csv or .jsonl file with message and class."
)
_LABELS = (
    f"{LABELS_HELP} For a line classifier: CSV with fingerprint,class by template, or corrected for the project's own "
    "labels of the seven-class set."
)

_TrackingUri = Annotated[
    str | None,
    typer.Option(
        envvar="DRIFTLINE_TRACKING_URI", help="MLflow server to log the run to, http://host:port, instead of --runs."
    ),
]


def train(
    context: typer.Context,
    data: Annotated[list[str], typer.Option("--data", help=_DATA, show_default=False)],
    detector: Annotated[str, typer.Argument(help=DETECTOR_HELP)] = "bert_cnn",
    labels: Annotated[str | None, typer.Option(help=_LABELS)] = None,
    region: Region = None,
    format: FormatName = "auto",
    window: Window = "session",
    window_set: WindowSet = None,
    store: StoreUrl = None,
    name: Name = None,
    first: Annotated[float, typer.Option(min=0.01, max=1.0, help=
        "Train on this first share of the sessions, by time.")] = 1.0,
    folds: Annotated[
        int, typer.Option(min=0, help="Folds of the cross-fitted threshold; 0 uses a 20 % holdout.")
    ] = 0,
    threshold: Annotated[
        str, typer.Option(help="Rule: auto, percentile, stddev, iqr, pot, or best_f1, which needs labels.")
    ] = "auto",
    threshold_set: ThresholdSet = None,
    set: Set = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split and of the training.")] = 0,
    runs: Runs = Path("runs"),
    tracking_uri: _TrackingUri = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Train a window detector on a log, or a line classifier on labelled lines; publish it and log the run.

    Example: driftline train bert_cnn --data app.log --labels labels.csv --first 0.5
    """
    from models.classify.registry import CLASSIFIERS

    if detector in CLASSIFIERS:
        refuse_window_options(context, detector)
        train_lines(detector, data, labels or "", store, name, set or [], seed, runs, tracking_uri, json)
        return
    from engine.offline.inputs import LogSpec
    from models.train_detector import TrainSettings

    settings = TrainSettings(
        detector=detector, settings=pairs(set or [], "filters=64"), threshold=threshold,
        threshold_settings=numbers(threshold_set), folds=folds, seed=seed,
    )  # fmt: skip
    origin = setup(region, format, window, window_set, store, name or (None if region is not None else detector))
    with stored_logs(data) as logs:
        _train_detector(LogSpec(logs, labels), settings, origin, region is not None, first, runs, tracking_uri, json)


def _train_detector(
    spec: "LogSpec", settings: "TrainSettings", origin: "tuple[Preprocessing, str, str, str]", fixed_gap: bool,
    first: float, runs: Path, tracking_uri: str | None, json: bool,
) -> None:  # fmt: skip
    from engine.offline.detect import derive_gap, train_on_log
    from engine.offline.mlflow import open_run_log
    from models.storage.store import ModelStore

    preprocessing, url, called, device = origin
    log = open_run_log(runs, tracking_uri)
    log.check()
    started_at = datetime.now(UTC)
    # An engine cuts sessions by the gap of its region's file, and so must the training for it.
    preprocessing, pauses = derive_gap(spec, preprocessing, fixed=fixed_gap)
    with progress_bar(json) as bar:
        trained, used = train_on_log(
            spec, preprocessing, settings, ModelStore(url), called, first=first, device=device, progress=stages(bar)
        )
    run = run_of(trained.detector, trained.notes, trained.report, trained.version, called, url, started_at)
    place = record(log, runs, run)
    if json:
        card = {"name": called, "version": trained.version, "store": url, "train_s": trained.report.train_s}
        print_json({**card, "run": place, **trained.notes.model_dump(mode="json")})
    else:
        _report(trained, used, called, url, place)
        if pauses:
            console().print(pauses, soft_wrap=True, markup=False)


def _report(trained: "Trained", used: "LabelledWindows", called: str, url: str, place: str) -> None:
    screen = console()
    screen.print(
        f"[bold]{called} version {trained.version}[/] published in {url}: {trained.detector.name}, "
        f"{len(used):,} windows, {int(used.labels.sum()):,} anomalous, {used.lines:,} lines ({used.bad_lines} bad, "
        f"{used.late_lines} late), trained in {trained.report.train_s:.1f} s"
    )
    validation = trained.notes.metrics.get("validation", {}) | {"threshold": trained.threshold}
    print_figures("on the held-out windows", {called: validation})
    screen.print(f"run logged: {place}", soft_wrap=True)
