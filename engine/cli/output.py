"""What commands print: tables and progress bars for people, JSON for programs.

Rich is imported when something is drawn, so that `driftline --version` and `--json` do without it.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

_COUNTS = {"units", "anomalous", "true_positives", "false_positives", "false_negatives", "true_negatives"}


def console(*, stderr: bool = False) -> "Console":
    """A console on standard output, or on standard error."""
    from rich.console import Console

    return Console(stderr=stderr)


def table(*headers: str, title: str | None = None) -> "Table":
    """An empty table."""
    from rich.table import Table

    return Table(*headers, title=title)


def print_json(document: Any, *, stderr: bool = False) -> None:
    """Prints a document as one line of JSON."""
    import orjson

    print(orjson.dumps(document).decode(), file=sys.stderr if stderr else sys.stdout)


@contextmanager
def progress_bar(quiet: bool) -> Iterator["Progress"]:
    """A bar on standard error that disappears when the work is done."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True, disable=quiet) as bar:
        yield bar


def print_figures(title: str, columns: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints figures, one row each; one column per model, under its heading."""
    figures = table("figure", *columns, title=title)
    for key in dict.fromkeys(name for column in columns.values() for name in column):
        values = (column.get(key) for column in columns.values())
        figures.add_row(key, *("-" if v is None else f"{int(v):,}" if key in _COUNTS else f"{v:.4f}" for v in values))
    console().print(figures)
