"""`driftline data`: public data sets for training and tests."""

from typing import Annotated

import typer

from engine.cli.output import console, print_json, table

app = typer.Typer(help="Public labelled logs: list, download, find.", no_args_is_help=True)


@app.command("list")
def list_sets(json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False) -> None:
    """List the data sets with their folders on this machine and their licences.

    Example: driftline data list
    """
    from engine.corpus.catalogue import CATALOGUE
    from engine.corpus.data import DataMissingError, find

    rows = []
    for entry in CATALOGUE.values():
        try:
            where = str(next(iter(find(entry.name).values())).parent)
        except DataMissingError:
            where = ""
        rows.append({"name": entry.name, "here": where, "description": entry.description, "licence": entry.licence})
    if json:
        print_json(rows)
        return
    sets = table("name", "here", "description", "licence")
    for row in rows:
        sets.add_row(row["name"], row["here"] or "no", row["description"], row["licence"])
    console().print(sets)


@app.command("get")
def get(name: Annotated[str, typer.Argument(help="A name from `driftline data list`.")]) -> None:
    """Download a data set into the cache, verify it, and print the paths of its files.

    Example: driftline data get hdfs-2pct
    """
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress

    from engine.corpus import data

    # Standard output is for the paths alone, so that scripts can read them.
    shown = Console(stderr=True)
    with Progress(*Progress.get_default_columns(), DownloadColumn(), console=shown, transient=True) as bar:
        task = bar.add_task(name, total=None)
        files = data.get(name, lambda done, total: bar.update(task, completed=done, total=total))
    for path in files.values():
        print(path)


@app.command("path")
def path(name: Annotated[str, typer.Argument(help="A name from `driftline data list`.")]) -> None:
    """Print the paths of the files of a data set on this machine.

    Example: driftline data path hdfs-2pct
    """
    from engine.corpus.data import find

    for found in find(name).values():
        print(found)
