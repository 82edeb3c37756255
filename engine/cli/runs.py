"""`driftline runs`: training runs that are logged as folders."""

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.options import Json, Runs
from engine.cli.output import console, print_json, table

app = typer.Typer(help="Logged training runs: list them, compare them.", no_args_is_help=True)


@app.command("list")
def list_runs(
    runs: Runs = Path("runs"), json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False
) -> None:
    """List the training runs in a folder, oldest first.

    Example: driftline runs list --runs runs
    """
    from engine.offline.run_log import RunFolder

    found = RunFolder(runs).all()
    if json:
        print_json([run.model_dump(mode="json") for run in found])
        return
    listed = table(title=f"{runs}")
    listed.add_column("run", no_wrap=True, overflow="ignore")  # a shortened id could not be passed to `compare`
    for name in ("model", "F1", "threshold"):
        listed.add_column(name, overflow="fold")
    for run in found:
        validation = run.metrics.get("validation", {})
        f1 = validation.get("f1", validation.get("macro_f1"))
        rule = "-" if run.threshold is None else f"{run.threshold.rule} {run.threshold.value:.4g}"
        listed.add_row(run.id, f"{run.name} v{run.version}", _shown(f1), rule)
    console().print(listed)


@app.command("prune")
def prune_runs(
    runs: Runs = Path("runs"), keep: Annotated[int, typer.Option(min=1, help="Newest runs to keep.")] = 100
) -> None:
    """Delete old training runs; the versions in the model store stay.

    Example: driftline runs prune --keep 20
    """
    from engine.offline.run_log import RunFolder

    print(f"{runs}: deleted {', '.join(RunFolder(runs).prune(keep)) or 'nothing'}")


@app.command("compare")
def compare_runs(
    ids: Annotated[list[str], typer.Argument(help="Ids of two or more runs; a unique part of an id is enough.")],
    runs: Runs = Path("runs"),
    json: Json = False,
) -> None:
    """Compare runs: the settings that differ, and every figure.

    Example: driftline runs compare 3f2a 91cc
    """
    from engine.offline.run_log import RunFolder, compare

    if len(ids) < 2:
        raise typer.BadParameter("name at least two runs to compare; one was given")
    folder = RunFolder(runs)
    found = [folder.get(start) for start in ids]
    rows = compare(found)
    if json:
        print_json({"runs": [run.id for run in found], **rows})
        return
    compared = table("", *(run.id for run in found), title="settings that differ, and every figure")
    for name, values in rows["settings"].items():
        compared.add_row(name, *("-" if value is None else str(value) for value in values))
    compared.add_section()
    for name, values in rows["figures"].items():
        compared.add_row(name, *_marked(values))
    console().print(compared)


def _marked(values: list[Any]) -> list[str]:
    """Figures as text; bold where a run differs from the first."""
    return [_shown(v) if v == values[0] else f"[bold]{_shown(v)}[/]" for v in values]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
