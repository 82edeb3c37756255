"""`driftline train` for line classifiers."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from engine.cli.options import pairs
from engine.cli.output import console, print_figures, print_json, progress_bar
from engine.cli.run_logging import record, run_of

if TYPE_CHECKING:
    from rich.progress import Progress

WINDOW_OPTIONS = (
    "region", "format", "window", "window_set", "first", "folds", "threshold", "threshold_set",
)  # fmt: skip
"""Options of `driftline train` that apply to windows only."""


def refuse_window_options(context: typer.Context, classifier: str) -> None:
    """Rejects options that would have no effect.

    Raises:
        typer.BadParameter: one of `WINDOW_OPTIONS` was given.
    """
    given = [n for n in WINDOW_OPTIONS if _is_given(context, n)]
    if given:
        names = ", ".join("--" + n.replace("_", "-") for n in given)
        raise typer.BadParameter(f"{names}: {classifier} classifies lines, and is trained without windows")


def _is_given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name != "DEFAULT"


def stages(bar: "Progress") -> Callable[[str, int, int, Mapping[str, float]], None]:
    """A `models.base.Progress` that moves a bar."""
    task = bar.add_task("reading", total=None, figures="")

    def show(stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        text = "  ".join(f"{k} {v:.4f}" for k, v in figures.items())
        bar.update(task, description=stage, completed=done, total=total, figures=text)

    return show


def train_lines(
    classifier: str, data: list[str], labels: str, store: str | None, name: str | None, set: list[str], seed: int,
    runs: Path, tracking_uri: str | None, json: bool,
) -> None:  # fmt: skip
    """Trains on labelled lines, publishes and logs the run; the options are those of `driftline train`."""
    from engine.offline.labelled_lines import read_labelled
    from engine.offline.mlflow import open_run_log
    from engine.steps.parse import ParseSettings
    from engine.steps.preprocessing import described_lines
    from models.storage.store import ModelStore
    from models.text.embeddings import embedding_cache
    from models.train_classifier import ClassifierTrainSettings, train_classifier

    if len(data) != 1:
        raise typer.BadParameter(f"--data: {classifier} takes one file of labelled lines, {len(data)} were given")
    path = Path(data[0])
    settings = ClassifierTrainSettings(classifier=classifier, settings=pairs(set, "words=200"), seed=seed)
    url, called = store or "models-store", name or classifier
    log = open_run_log(runs, tracking_uri)
    log.check()
    started_at = datetime.now(UTC)
    with progress_bar(json) as bar:
        show = stages(bar)
        lines = read_labelled(path, labels)
        source = f"{path.name}, labels {labels}" if labels else path.name
        trained = train_classifier(
            lines, settings, store=ModelStore(url), name=called, source=source,
            preprocessing=described_lines(ParseSettings()), cache=embedding_cache(), progress=show,
        )  # fmt: skip
    run = run_of(trained.classifier, trained.notes, trained.report, trained.version, called, url, started_at)
    place = record(log, runs, run)
    card: dict[str, Any] = {"name": called, "version": trained.version, "store": url, "train_s": run.train_s}
    card |= {"run": place, **trained.notes.model_dump(mode="json")}
    if json:
        print_json(card)
        return
    facts, screen = trained.notes.data, console()
    screen.print(
        f"[bold]{called} version {trained.version}[/] published in {url}: {classifier}, {facts['lines']:,} lines, "
        f"{facts['distinct_lines']:,} distinct, {facts['templates']:,} templates, trained in {run.train_s:.1f} s"
    )
    print_figures("on the held-out templates", {called: trained.notes.metrics["validation"]})
    screen.print(f"run logged: {place}", soft_wrap=True)
