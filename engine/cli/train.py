"""`driftline train`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console

from engine.cli.options import (
    Data,
    Format,
    Json,
    Labels,
    Name,
    Region,
    Runs,
    Set,
    Store,
    ThresholdSet,
    Window,
    WindowSet,
    figures_table,
    numbers,
    pairs,
    progress_bar,
    setup,
)  # fmt: skip
from models.registry import DETECTORS

if TYPE_CHECKING:
    from engine.corpus.datasets import LabelledWindows
    from engine.evaluation.runs import Run, RunLog
    from models.training import Trained


def train(
    data: Data,
    detector: Annotated[str, typer.Argument(help=f"Detector: {', '.join(sorted(DETECTORS))}.")] = "bert_cnn",
    labels: Labels = None,
    region: Region = None,
    format: Format = "hdfs",
    window: Window = "session",
    window_set: WindowSet = None,
    store: Store = None,
    name: Name = None,
    first: Annotated[float, typer.Option(min=0.01, max=1.0, help="Train on this first share of the sessions.")] = 1.0,
    folds: Annotated[
        int, typer.Option(min=0, help="Fit the threshold on all windows, cross-fitted in so many folds; 0: on a fifth.")
    ] = 0,
    threshold: Annotated[
        str, typer.Option(help="Rule: auto, percentile, stddev, iqr, pot, or best_f1, which needs labels.")
    ] = "auto",
    threshold_set: ThresholdSet = None,
    set: Set = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split and of the training.")] = 0,
    runs: Runs = Path("runs"),
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            envvar="DRIFTLINE_TRACKING_URI",
            help="MLflow server to log the run to, http://host:port, instead of --runs.",
        ),
    ] = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Train a detector on a log, cut as the engine cuts it, publish it to the store, and log the run.

    Example: driftline train bert_cnn --data HDFS_2pct.log.xz --labels HDFS_2pct_labels.csv --region eu-west.toml
    """
    from engine.corpus.datasets import LogSpec
    from engine.evaluation.tracking import open_run_log
    from engine.offline import train_on_log
    from models.store import ModelStore
    from models.training import TrainSettings

    cutting, url, called, device = setup(region, format, window, window_set, store, name)
    called = name or (called if region is not None else detector)
    settings = TrainSettings(
        detector=detector, settings=pairs(set or [], "filters=64"), threshold=threshold,
        threshold_settings=numbers(threshold_set), folds=folds, seed=seed,
    )  # fmt: skip
    log = open_run_log(runs, tracking_uri)
    log.check()
    started_at = datetime.now(UTC)
    with progress_bar(json) as bar:
        task = bar.add_task("reading", total=None, figures="")

        def show(stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
            text = "  ".join(f"{k} {v:.4f}" for k, v in figures.items())
            bar.update(task, description=stage, completed=done, total=total, figures=text)

        trained, used = train_on_log(
            LogSpec(data, labels), cutting, settings, ModelStore(url), called,
            first=first, device=device, progress=show,
        )  # fmt: skip
    place = _record(log, runs, _run(trained, called, url, started_at))
    card = {"name": called, "version": trained.version, "store": url, "train_s": trained.report.train_s, "run": place}
    card |= trained.notes.model_dump(mode="json")
    if json:
        print(orjson.dumps(card).decode())
        return
    _tell(trained, used, card)


def _run(trained: "Trained", name: str, store: str, started_at: datetime) -> "Run":
    from engine.evaluation.runs import Run, new_id

    notes, report = trained.notes, trained.report
    return Run(
        id=new_id(trained.detector.name, started_at), name=name, version=trained.version, store=store,
        detector=trained.detector.name, settings=trained.detector.settings(), seed=notes.seed, started_at=started_at,
        train_s=report.train_s, threshold=notes.threshold, data=notes.data, metrics=notes.metrics,
        history=tuple(dict(epoch) for epoch in report.history), best_epoch=report.best_epoch,
    )  # fmt: skip


def _record(log: "RunLog", runs: Path, run: "Run") -> str:
    """Logs the run; in the folder where the server that answered before the training no longer does."""
    from engine.evaluation.plots import curves
    from engine.evaluation.report import EvaluationError
    from engine.evaluation.runs import RunFolder

    drawn = curves(run.history, run.best_epoch, f"{run.name} v{run.version}: training")
    files = {} if drawn is None else {"curves.png": drawn}
    try:
        return log.record(run, files)
    except EvaluationError as error:
        if isinstance(log, RunFolder):
            raise
        typer.echo(f"driftline: the run is logged in {runs} instead: {error}", err=True)
        return RunFolder(runs).record(run, files)


def _tell(trained: "Trained", used: "LabelledWindows", card: Mapping[str, Any]) -> None:
    console = Console()
    console.print(
        f"[bold]{card['name']} version {trained.version}[/] published in {card['store']}: {trained.detector.name}, "
        f"{len(used):,} windows, {int(used.labels.sum()):,} anomalous, {used.lines:,} lines ({used.bad_lines} bad, "
        f"{used.late_lines} late), trained in {trained.report.train_s:.1f} s"
    )
    validation = trained.notes.metrics.get("validation", {}) | {"threshold": trained.threshold}
    figures_table(console, "on the held-out windows", {card["name"]: validation})
    console.print(f"run logged: {card['run']}", soft_wrap=True)
