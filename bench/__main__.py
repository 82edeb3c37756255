"""The command `python -m bench`: lists, runs and compares benchmark scenarios."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.harness import SCENARIOS, BenchError, Run, find_scenario, run_scenario
from bench.report import change_table, compare, read_result, result_table, scenario_table
from engine.corpus.data import DataError

app = typer.Typer(help="Benchmarks of Driftline, with peers side by side.", no_args_is_help=True)
# Progress and tables go to stderr with --json, so that stdout ends with the result alone.
out = Console()
err = Console(stderr=True)


@app.command("list")
def list_scenarios() -> None:
    """Shows every scenario with its goal and floor."""
    out.print(scenario_table(map(find_scenario, SCENARIOS)))


@app.command("run")
def run_command(
    scenario: Annotated[str, typer.Argument(help="A scenario id, as `list` shows them.")],
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object, the last line.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="Worker processes, where the scenario takes them.")] = 1,
    settings: Annotated[list[str] | None, typer.Option("--set", help="A setting of the scenario, key=value.")] = None,
    file: Annotated[Path | None, typer.Option("--out", help="Also write the JSON object to this file.")] = None,
) -> None:
    """Runs a scenario: python -m bench run parse-hdfs --json --out result.json."""
    overrides = {}
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not equals:
            _fail(f"--set {setting}: expected key=value")
        overrides[key] = value
    try:
        found = find_scenario(scenario)
        with terminated_in_order(), _Display() as display:
            result = run_scenario(found, Run(processes, overrides, display.report))
    except (BenchError, DataError) as error:
        _fail(str(error))
    document = orjson.dumps(result)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(document + b"\n")
    (err if json else out).print(result_table(result))
    if json:
        sys.stdout.write(document.decode() + "\n")


@app.command("compare")
def compare_command(
    before: Annotated[Path, typer.Argument(help="The earlier result (A.json).")],
    after: Annotated[Path, typer.Argument(help="The later result (B.json).")],
) -> None:
    """Compares two results; exit code 1 if a metric got worse by more than its tolerance."""
    try:
        old, new = read_result(before), read_result(after)
        changes = compare(old, new)
    except BenchError as error:
        _fail(str(error))
    out.print(change_table(old["scenario"], changes))
    if old.get("machine", {}).get("cpu") != new.get("machine", {}).get("cpu"):
        out.print("The results are from different machines; only ratios can be compared.")
    raise typer.Exit(any(change.regressed for change in changes))


@contextmanager
def terminated_in_order() -> Iterator[None]:
    """SIGTERM ends the block as an exception does, so that a scenario ends the programs that it has started."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(message: str) -> NoReturn:
    """Ends the command with a sentence and exit code 2."""
    err.print(f"[red]error:[/] {message}", highlight=False)
    raise typer.Exit(2)


class _Display:
    """Progress on stderr: one bar a stage."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
        self._progress = Progress(*columns, TimeElapsedColumn(), console=err)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "_Display":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def report(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage)
        self._progress.update(self._tasks[stage], completed=done, total=total or None)


if __name__ == "__main__":
    app(prog_name="python -m bench")
