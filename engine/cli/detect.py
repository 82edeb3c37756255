"""`driftline train`, `driftline evaluate` and `driftline score`: detection on files."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from engine.offline import Cutting

Data = Annotated[Path, typer.Option("--data", help="Log file: plain, .gz, .xz or .zst.", show_default=False)]
Labels = Annotated[
    Path | None, typer.Option(help="CSV with BlockId,Label by session key; else the format's own label column.")
]
Set = Annotated[list[str] | None, typer.Option("--set", help="Setting of the detector, key=value; may be repeated.")]
Region = Annotated[Path | None, typer.Option(help="Region TOML to take parse, window and model settings from.")]
Format = Annotated[str, typer.Option("--format", help="Log format, where no --region is given.")]
Window = Annotated[str, typer.Option(help="Kind of window, where no --region is given: session, sliding or time.")]
WindowSet = Annotated[
    list[str] | None, typer.Option("--window-set", help="Setting of the window, such as gap_s=43200; may be repeated.")
]
Store = Annotated[str | None, typer.Option(help="Model store; the region's if not given.")]
Name = Annotated[str | None, typer.Option(help="Name of the model in the store; the region's if not given.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")]


def _setup(
    region: Path | None, format: str, window: str, window_set: list[str] | None, store: str | None, name: str | None
) -> "tuple[Cutting, str, str, str]":
    """Cutting, store, name and device, from the region's file or from the options."""
    from engine.offline import default_cutting, region_cutting

    if region is not None:
        cutting, region_store, region_name, device = region_cutting(region)
        return cutting, store or region_store, name or region_name, device
    try:
        cutting = default_cutting(format, window, _settings(window_set or []))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return cutting, store or "models-store", name or "bert_cnn", "auto"


def _settings(pairs: list[str]) -> dict[str, Any]:
    """`key=value` pairs; values are read as JSON where they are that, else as text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"{pair!r} is no key=value, such as gap_s=43200")
        try:
            found[key] = orjson.loads(value)
        except orjson.JSONDecodeError:
            found[key] = value
    return found


@contextmanager
def _bar(quiet: bool) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bar:
        yield bar


def train(
    data: Data,
    detector: Annotated[str, typer.Argument(help="Detector: bert_cnn or event_counts.")] = "bert_cnn",
    labels: Labels = None,
    region: Region = None,
    format: Format = "hdfs",
    window: Window = "session",
    window_set: WindowSet = None,
    store: Store = None,
    name: Name = None,
    first: Annotated[float, typer.Option(min=0.01, max=1.0, help="Train on this first share of the sessions.")] = 1.0,
    threshold: Annotated[str, typer.Option(help="Rule: auto, percentile, stddev, iqr or best_f1.")] = "auto",
    set: Set = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split and of the training.")] = 0,
    json: Json = False,
) -> None:  # fmt: skip
    """Train a detector on a labelled log, cut as the engine cuts it, and publish it to the store.

    Example: driftline train bert_cnn --data HDFS_2pct.log.xz --labels HDFS_2pct_labels.csv --region eu-west.toml
    """
    from engine.corpus.datasets import LogSpec
    from engine.offline import train_on_log
    from models.registry import DETECTORS
    from models.store import ModelStore
    from models.training import TrainSettings

    cutting, url, called, device = _setup(region, format, window, window_set, store, name)
    called = name or (called if region is not None else detector)
    supervised = detector in DETECTORS and labels is not None
    with _bar(json) as bar:
        task = bar.add_task("reading", total=None, figures="")

        def show(stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
            text = "  ".join(f"{k} {v:.4f}" for k, v in figures.items())
            bar.update(task, description=stage, completed=done, total=total, figures=text)

        trained, used = train_on_log(
            LogSpec(data, labels, supervised=supervised),
            cutting,
            TrainSettings(detector=detector, settings=_settings(set or []), threshold=threshold, seed=seed),
            ModelStore(url),
            called,
            first=first,
            device=device,
            progress=show,
        )
    card = {"name": called, "version": trained.version, "store": url, "train_s": trained.report.train_s}
    card |= trained.notes.model_dump(mode="json")
    if json:
        print(orjson.dumps(card).decode())
        return
    console = Console()
    validation = trained.notes.metrics.get("validation", {})
    console.print(
        f"[bold]{called} version {trained.version}[/] published in {url}: {detector}, {len(used):,} windows, "
        f"{int(used.labels.sum()):,} anomalous, {used.lines:,} lines ({used.bad_lines} bad, {used.late_lines} late), "
        f"trained in {trained.report.train_s:.1f} s"
    )
    _figures(console, "on the held-out validation windows", validation, trained.threshold)


def evaluate(
    data: Data,
    labels: Labels = None,
    region: Region = None,
    format: Format = "hdfs",
    window: Window = "session",
    window_set: WindowSet = None,
    store: Store = None,
    name: Name = None,
    version: Annotated[int | None, typer.Option(help="Version; the current one if not given.")] = None,
    after: Annotated[float, typer.Option(min=0.0, max=0.99, help="Leave out this first share of the sessions.")] = 0.0,
    json: Json = False,
) -> None:
    """Score a labelled log with a stored model and compare with the labels, by session.

    Example: driftline evaluate --data HDFS_2pct.log.xz --labels HDFS_2pct_labels.csv --region eu-west.toml --after 0.5
    """
    from engine.corpus.datasets import LogSpec
    from engine.offline import score_log
    from models.store import ModelStore

    cutting, url, called, device = _setup(region, format, window, window_set, store, name)
    with _bar(json) as bar:
        task = bar.add_task("scoring", total=None, figures="")
        scored = score_log(
            LogSpec(data, labels), cutting, ModelStore(url), called, version, after=after, device=device,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    result = scored.figures()
    if json:
        head = {"model": called, "version": scored.version, "threshold": scored.threshold, "data": data.name}
        print(orjson.dumps({**head, **result}).decode())
        return
    _figures(Console(), f"{called} version {scored.version} on {data.name}", result, scored.threshold)


def score(
    file: Annotated[Path, typer.Argument(help="Log file: plain, .gz, .xz or .zst.", show_default=False)],
    region: Region = None,
    format: Format = "hdfs",
    window: Window = "session",
    window_set: WindowSet = None,
    store: Store = None,
    name: Name = None,
    version: Annotated[int | None, typer.Option(help="Version; the current one if not given.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Rows of the table: the most anomalous windows.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a window, all, in stream order.")] = False,
) -> None:
    """Score every window of a file and show the most anomalous.

    Example: driftline score app.log --region eu-west.toml --top 10
    """
    from engine.alert import iso_time
    from engine.corpus.datasets import LogSpec
    from engine.offline import score_log
    from models.store import ModelStore

    cutting, url, called, device = _setup(region, format, window, window_set, store, name)
    with _bar(json) as bar:
        task = bar.add_task("scoring", total=None, figures="")
        scored = score_log(
            LogSpec(file, supervised=False), cutting, ModelStore(url), called, version, device=device,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    rows = [
        {
            "session": scored.data.keys[i],
            "score": float(value),
            "anomalous": bool(value >= scored.threshold),
            "lines": int(scored.data.windows.offsets[i + 1] - scored.data.windows.offsets[i]),
            "closed": bool(scored.data.windows.closed[i]),
            "first_time": iso_time(int(scored.data.first_ns[i])),
            "last_time": iso_time(int(scored.data.last_ns[i])),
        }
        for i, value in enumerate(scored.scores)
    ]
    if json:
        for row in rows:
            print(orjson.dumps(row).decode())
        return
    table = Table("session", "score", "lines", "from", "to", title=f"{file.name}: {called} version {scored.version}")
    for row in sorted(rows, key=lambda r: -float(str(r["score"])))[:top]:
        style = "red" if row["anomalous"] else None
        table.add_row(
            str(row["session"]) or "-", f"{row['score']:.4f}", f"{row['lines']}", str(row["first_time"])[:19],
            str(row["last_time"])[:19], style=style,
        )  # fmt: skip
    Console().print(table)
    count = sum(bool(r["anomalous"]) for r in rows)
    Console().print(f"{count:,} of {len(rows):,} windows reach the threshold {scored.threshold:.6g}")


def _figures(console: Console, title: str, figures: Mapping[str, Any], threshold: float) -> None:
    table = Table("figure", "value", title=title)
    for key, value in {**figures, "threshold": threshold}.items():
        table.add_row(key, f"{value:,}" if isinstance(value, int) else f"{value:.4f}")
    console.print(table)
