"""`driftline train` for line classifiers."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import typer
from click.core import ParameterSource
from rich.console import Console
from rich.progress import Progress

from engine.cli.options import figures_table, pairs, progress_bar
from engine.cli.run_logging import record, run_of

WINDOW_OPTIONS = (
    "region", "format", "window", "window_set", "first", "folds", "threshold", "threshold_set",
)  # fmt: skip
"""Options of `driftline train` that say how windows are cut and judged."""


def refuse_window_options(context: typer.Context, classifier: str) -> None:
    """Tells the user of options that would do nothing.

    Raises:
        typer.BadParameter: one of `WINDOW_OPTIONS` was given.
    """
    given = [n for n in WINDOW_OPTIONS if context.get_parameter_source(n) is not ParameterSource.DEFAULT]
    if given:
        names = ", ".join("--" + n.replace("_", "-") for n in given)
        raise typer.BadParameter(f"{names}: {classifier} classifies lines, and is trained without windows")


def stages(bar: Progress) -> Callable[[str, int, int, Mapping[str, float]], None]:
    """A `models.base.Progress` that moves a bar."""
    task = bar.add_task("reading", total=None, figures="")

    def show(stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        text = "  ".join(f"{k} {v:.4f}" for k, v in figures.items())
        bar.update(task, description=stage, completed=done, total=total, figures=text)

    return show


def train_lines(
    classifier: str, data: Path, labels: str, store: str | None, name: str | None, set: list[str], seed: int,
    runs: Path, tracking_uri: str | None, json: bool,
) -> None:  # fmt: skip
    """Trains on labelled lines, publishes and logs the run; the options are those of `driftline train`."""
    from engine.offline.labelled_lines import read_labelled
    from engine.offline.mlflow import open_run_log
    from engine.runtime.model_loading import embedding_cache
    from models.storage.store import ModelStore
    from models.train_classifier import ClassifierTrainSettings, train_classifier

    settings = ClassifierTrainSettings(classifier=classifier, settings=pairs(set, "words=200"), seed=seed)
    url, called = store or "models-store", name or classifier
    log = open_run_log(runs, tracking_uri)
    log.check()
    started_at = datetime.now(UTC)
    with progress_bar(json) as bar:
        show = stages(bar)
        lines = read_labelled(data, labels)
        source = f"{data.name}, labels {labels}" if labels else data.name
        trained = train_classifier(
            lines, settings, store=ModelStore(url), name=called, source=source, cache=embedding_cache(), progress=show
        )
    run = run_of(trained.classifier, trained.notes, trained.report, trained.version, called, url, started_at)
    place = record(log, runs, run)
    card: dict[str, Any] = {"name": called, "version": trained.version, "store": url, "train_s": run.train_s}
    card |= {"run": place, **trained.notes.model_dump(mode="json")}
    if json:
        print(orjson.dumps(card).decode())
        return
    facts, console = trained.notes.data, Console()
    console.print(
        f"[bold]{called} version {trained.version}[/] published in {url}: {classifier}, {facts['lines']:,} lines, "
        f"{facts['distinct_lines']:,} distinct, {facts['templates']:,} templates, trained in {run.train_s:.1f} s"
    )
    figures_table(console, "on the held-out templates", {called: trained.notes.metrics["validation"]})
    console.print(f"run logged: {place}", soft_wrap=True)
