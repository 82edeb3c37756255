"""`driftline runs`: the training runs that were logged as folders."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from engine.cli.options import Json, Runs

app = typer.Typer(help="Logged training runs: list them, compare them.", no_args_is_help=True)


@app.command("list")
def list_runs(
    runs: Runs = Path("runs"), json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False
) -> None:
    """List the training runs in a folder, the oldest first.

    Example: driftline runs list --runs runs
    """
    from engine.offline.run_log import RunFolder

    found = RunFolder(runs).all()
    if json:
        print(orjson.dumps([run.model_dump(mode="json") for run in found]).decode())
        return
    table = Table(title=f"{runs}")
    table.add_column("run", no_wrap=True, overflow="ignore")  # an id that is cut could not be given to `compare`
    for name in ("model", "F1", "threshold"):
        table.add_column(name, overflow="fold")
    for run in found:
        validation = run.metrics.get("validation", {})
        f1 = validation.get("f1", validation.get("macro_f1"))
        rule = "-" if run.threshold is None else f"{run.threshold.rule} {run.threshold.value:.4g}"
        table.add_row(run.id, f"{run.name} v{run.version}", _shown(f1), rule)
    Console().print(table)


@app.command("compare")
def compare_runs(
    ids: Annotated[list[str], typer.Argument(help="Two runs or more, each by its id or a part of it.")],
    runs: Runs = Path("runs"),
    json: Json = False,
) -> None:
    """Put runs side by side: the settings that differ, and every figure.

    Example: driftline runs compare 3f2a 91cc
    """
    from engine.offline.run_log import RunFolder, compare

    if len(ids) < 2:
        raise typer.BadParameter("two runs or more are compared; one was named")
    folder = RunFolder(runs)
    found = [folder.get(start) for start in ids]
    rows = compare(found)
    if json:
        print(orjson.dumps({"runs": [run.id for run in found], **rows}).decode())
        return
    table = Table("", *(run.id for run in found), title="what differs, and what came of it")
    for name, values in rows["settings"].items():
        table.add_row(name, *("-" if value is None else str(value) for value in values))
    table.add_section()
    for name, values in rows["figures"].items():
        table.add_row(name, *_marked(values))
    Console().print(table)


def _marked(values: list[Any]) -> list[str]:
    """Figures as text; bold where a run differs from the first."""
    return [_shown(v) if v == values[0] else f"[bold]{_shown(v)}[/]" for v in values]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
