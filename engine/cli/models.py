"""`driftline models`: versions in the model store, rollback, and recalibration of thresholds."""

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.input_files import stored_logs
from engine.cli.options import (
    Data,
    FormatName,
    Json,
    Labels,
    Region,
    StoreUrl,
    ThresholdSet,
    Version,
    Window,
    WindowSet,
    numbers,
    setup,
)  # fmt: skip
from engine.cli.output import console, print_figures, print_json, progress_bar, table
from engine.cli.round_text import card_regions, region_sentences
from foundation.time_text import iso_seconds

app = typer.Typer(
    help="The model store: list versions, show a card, roll back, prune, recalibrate a threshold.", no_args_is_help=True
)

StoreOption = Annotated[str, typer.Option("--store", help="Folder or fsspec URL of the model store.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


@app.command("list")
def list_versions(store: StoreOption = "models-store", json: JsonOption = False) -> None:
    """List every version of every model; the current one is marked.

    Example: driftline models list --store models-store
    """
    from models.base import ModelStoreError
    from models.storage.store import Card, ModelStore

    opened = ModelStore(store)
    rows: list[dict[str, Any]] = []
    for name in opened.names():
        current, held = opened.current(name), opened.held(name)
        for version in opened.versions(name):
            row: dict[str, Any] = {"name": name, "version": version, "current": version == current}
            row["regions"] = sorted(region for region, kept in held.items() if kept == version)
            try:
                card = opened.verify(name, version)
            except ModelStoreError as error:
                rows.append({**row, "fault": str(error)})
                continue
            validation = card.metrics.get("validation") or card.metrics.get("holdout", {})
            rows.append(
                {
                    **row,
                    "detector": card.detector,
                    "created_at": iso_seconds(card.created_ns),
                    "f1": validation.get("f1", validation.get("macro_f1")),
                    "threshold": card.threshold.value if isinstance(card, Card) else None,
                    "round": card.round,
                    "reason": card.data.get("reason"),
                    "by_region": card_regions(card.metrics),
                }
            )
    if json:
        print_json(rows)
        return
    versions = table("", "name", "version", "detector", "created", "F1", "threshold", "served by", title=store)
    rest = {r["name"]: "all" for r in rows} | {r["name"]: "others" for r in rows if r["regions"]}
    for r in rows:
        if "fault" in r:
            versions.add_row("", str(r["name"]), str(r["version"]), f"[red]{r['fault']}[/]", "", "", "", "")
            continue
        f1 = f"{r['f1']:.4f}" if isinstance(r["f1"], float) else "-"
        mark = "*" if r["current"] else ""
        versions.add_row(
            mark,
            str(r["name"]),
            str(r["version"]),
            str(r["detector"]),
            str(r["created_at"]),
            f1,
            "-" if r["threshold"] is None else f"{r['threshold']:.4g}",
            ", ".join(r["regions"]) or (rest[r["name"]] if r["current"] else ""),
        )
    screen = console()
    screen.print(versions)
    for r in rows:
        if r.get("by_region"):
            screen.print(f"{r['name']} version {r['version']}, round {r['round']}: {r['reason']}", markup=False)
        for sentence in region_sentences(r.get("by_region", {})):
            screen.print(f"  {sentence}", soft_wrap=True, highlight=False, markup=False)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    version: Annotated[int | None, typer.Option(help="Version; the current one if not given.")] = None,
    store: StoreOption = "models-store",
) -> None:
    """Verify a version and print its card as JSON.

    Example: driftline models show bert_cnn --version 3
    """
    from models.storage.store import ModelStore

    print(ModelStore(store).verify(name, version).model_dump_json(indent=2))


@app.command("rollback")
def rollback(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    to: Annotated[int | None, typer.Option(help="Version to go back to; the previous one if not given.")] = None,
    store: StoreOption = "models-store",
    coordinator: Annotated[
        Path | None,
        typer.Option(help="Coordinator's TOML file: the rollback is done in its store and recorded in the audit log."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Reason, recorded in the audit log.")] = "requested on the command line",
) -> None:
    """Roll back to an earlier version; running engines adopt it within seconds.

    Example: driftline models rollback bert_cnn --coordinator coordinator.toml --reason noise
    """
    from models.storage.store import ModelStore

    if coordinator is None:
        version = ModelStore(store).rollback(name, to)
    else:
        from engine.runtime.federation_wiring import roll_back
        from engine.settings import load_coordinator

        version, done = roll_back(load_coordinator(coordinator), name, to, reason)
        if not done:
            print(
                f"the rollback of {name} to version {version} is recorded; the running coordinator has not finished it"
            )
            raise typer.Exit(1)
    print(f"{name} is at version {version} now")


@app.command("prune")
def prune(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    keep: Annotated[int, typer.Option(min=1, help="Newest versions to keep.")] = 10,
    store: StoreOption = "models-store",
) -> None:
    """Remove old versions; those in service, those that a rollback needs, and candidates stay.

    Example: driftline models prune bert_cnn --keep 5
    """
    from models.storage.store import ModelStore

    removed = ModelStore(store).prune(name, keep)
    print(f"{name}: removed {', '.join(f'version {version}' for version in removed) or 'nothing'}")


@app.command("recalibrate")
def recalibrate(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    data: Data,
    labels: Labels = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            help="Rule: percentile, stddev, iqr, pot, or best_f1, which needs labels; the card's if not given."
        ),
    ] = None,
    threshold_set: ThresholdSet = None,
    region: Region = None,
    format: FormatName = "auto",
    window: Window = "session",
    window_set: WindowSet = None,
    store: StoreUrl = None,
    version: Version = None,
    json: Json = False,
) -> None:
    """Fit the threshold of a model on a log, without training, and publish it as a new version.

    Example: driftline models recalibrate bert_cnn --data last-week.log.zst --region eu-west.toml --threshold pot
    """
    from engine.offline.detect import as_trained
    from engine.offline.inputs import LogSpec
    from engine.offline.recalibrate import recalibrate as fit
    from models.storage.store import ModelStore

    preprocessing, url, _, device = setup(region, format, window, window_set, store, name)
    opened = ModelStore(url)
    before = opened.card(name, version)
    preprocessing = as_trained(preprocessing, before)
    with stored_logs(data) as logs, progress_bar(json) as bar:
        spec = LogSpec(logs, labels)
        task = bar.add_task("scoring", total=None, figures="")
        card = fit(
            spec, preprocessing, opened, name, version, rule=threshold,
            settings=numbers(threshold_set), device=device,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    if json:
        print(card.model_dump_json())
        return
    console().print(
        f"{name} version {card.version} is version {before.version} with the threshold {card.threshold.value:.6g} "
        f"({card.threshold.rule} on {card.threshold.fitted_on:,} windows) in place of {before.threshold.value:.6g} "
        f"({before.threshold.rule})",
        soft_wrap=True,
    )
    figures = card.metrics.get("recalibration", {})
    if figures:
        print_figures(
            f"on {spec.title}, the log that the threshold was fitted on", {f"{name} v{card.version}": figures}
        )
