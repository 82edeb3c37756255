"""`driftline state`: what the recovery folder holds, and its move to other workers or settings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.output import console, print_json, table

if TYPE_CHECKING:
    from engine.runtime.rescale import SavedState

app = typer.Typer(no_args_is_help=True, help="The state that survives a crash: show, move and delete it.")

RegionFile = Annotated[Path, typer.Argument(help="The region's TOML file.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]


@app.command()
def show(region: RegionFile, json: Json = False) -> None:
    """Show what is saved: positions of the source, and the size of each step's state.

    Example: driftline state show eu-west.toml
    """
    from engine.runtime.rescale import opened
    from engine.settings import load

    with opened(load(region)) as saved:
        if json:
            print_json({"workers": 0 if saved is None else saved.of, "states": [] if saved is None else _rows(saved)})
        elif saved is None:
            print("nothing is saved")
        else:
            found = table("worker", "step", "partition or shard", "bytes", "position", title=f"{saved.of} workers")
            for row in _rows(saved):
                found.add_row(*(str(row[name]) for name in ("worker", "step", "key", "bytes", "position")))
            console().print(found)


@app.command()
def rescale(
    region: RegionFile,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of workers from now on; by default as many as before.")
    ] = None,
) -> None:
    """Move the state to another number of workers, and to the [source] and [parse] of the file as it is now.

    Stop the engine first. Example: driftline state rescale eu-west.toml --workers 3
    """
    from engine.runtime import rescale as moves
    from engine.settings import load

    settings = load(region)
    saved = moves.rescale(settings, workers)
    if saved is None:
        print("nothing is saved, so there is nothing to move")
    else:
        print(f"the state of {saved.of} workers is now that of {workers or saved.of}")


@app.command()
def reset(
    region: RegionFile,
    keep_positions: Annotated[
        bool, typer.Option("--keep-positions", help="Keep what was read, delivered and counted; delete the rest.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete the state: the next start reads from `source.start`, without templates and open windows.

    Stop the engine first. Example: driftline state reset eu-west.toml --keep-positions
    """
    from engine.runtime import rescale as moves
    from engine.settings import load

    settings = load(region)
    what = "what was learnt, and all open windows," if keep_positions else "all state"
    if not yes:
        typer.confirm(f"Delete {what} in {settings.recovery.path}?", abort=True)
    workers = moves.reset(settings, keep_positions=keep_positions)
    print(f"deleted {what} of {workers} workers" if workers else "nothing is saved")


def _rows(saved: "SavedState") -> list[dict[str, Any]]:
    from engine.runtime.divided_state import step_of
    from foundation import plain_pickle

    return [
        {
            "worker": worker, "step": step_of(key), "key": key[1], "bytes": len(plain_pickle.dump(state)),
            "position": _position(state) if step_of(key) == "source" else "",
        }
        for worker, states in enumerate(saved.workers)
        for key, state in sorted(states.items())
    ]  # fmt: skip


def _position(state: dict[str, Any] | None) -> str:
    """The offset of a topic's partition, or how many files were read and of how many bytes."""
    if not state:
        return "not read yet"
    if "offset" in state:
        return f"offset {state['offset']}"
    places = state.get("files", {}).values()
    return f"{len(places)} files, {sum(place['byte'] for place in places):,} bytes"
