"""Writes one case to files: python -m bench.incidents.case BACKGROUND KIND --size --place --seed."""

from pathlib import Path
from typing import Annotated

import typer

from bench.harness import BenchError
from bench.incidents.backgrounds import background
from bench.incidents.inject import free_case, make_case
from bench.incidents.kinds import NONE

app = typer.Typer()


@app.command()
def write(
    log: Annotated[str, typer.Argument(metavar="BACKGROUND", help="A background, for example bgl or service.")],
    kind: Annotated[str, typer.Argument(help="A kind of incident, or none.")],
    size: Annotated[int, typer.Option(min=0, max=2, help="0 small, 1 medium, 2 large.")] = 1,
    place: Annotated[int, typer.Option(min=0, max=4, help="0 near the beginning of now, 4 near its end.")] = 2,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Folder for past.log, now.log and now.labels.")] = Path("case"),
) -> None:
    """Writes past.log, now.log and now.labels (1 for a line of the incident)."""
    try:
        found = background(log, seed)
        case = free_case(found) if kind == NONE else make_case(found, kind, size, place, seed)
    except BenchError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    out.mkdir(parents=True, exist_ok=True)
    labels = [str(int(bad)) for bad in case.incident]
    for name, lines in (("past.log", found.past), ("now.log", case.now), ("now.labels", labels)):
        (out / name).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    typer.echo(f"{case.name}: {found.cut} lines of the past, {len(case.now)} now, {labels.count('1')} of the incident")


if __name__ == "__main__":
    app()
