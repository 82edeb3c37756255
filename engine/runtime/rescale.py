"""Moves the state in a recovery folder to another number of workers, or to other settings of `[source]` and `[parse]`.

1. The folders of all workers are locked, read and compared with the settings.
2. The new folders are made inside `moving`, and a file there says that they are complete.
3. They take the places of the old ones, and `moving` is deleted.

No engine starts while `moving` exists. A move that was interrupted is completed if step 2 was, and else begins again.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.base import SettingsError
from connectors.division import Division
from connectors.registry import divide_positions
from engine.flow.outputs import DEAD_LETTERS, DRIFT_EVENTS
from engine.parsing.moved_state import moved, without_records
from engine.runtime import recovery
from engine.runtime.divided_state import COUNTS, divide, is_position, sink_states, step_of
from engine.runtime.state_rows import RecoveryError, StateKey, read, write
from engine.settings import RegionSettings
from engine.windows import table_log
from foundation import durable

COMPLETE = "complete"
ENDING_S = 2.0
"""How long a worker that was killed is waited for: it keeps its folder until all its memory is given back."""

MOVABLE = ("source", "parse")
"""Settings whose change keeps the state; windows that were cut in another way mean nothing."""


@dataclass(frozen=True, slots=True)
class SavedState:
    """The state of all workers of a region.

    Attributes:
        folders: Folder of each worker, by its number.
        of: Number of workers.
        settings: The settings that it was made under, as `RegionSettings.fingerprint` has them.
        workers: States of each worker.
    """

    folders: Mapping[int, Path]
    of: int
    settings: Mapping[str, Any]
    workers: list[dict[StateKey, Any]]


@contextmanager
def opened(settings: RegionSettings) -> Iterator[SavedState | None]:
    """The saved state, which no engine changes meanwhile; None where nothing is saved.

    Raises:
        RecoveryError: it is in use or damaged.
    """
    path = settings.recovery.path
    if not path.exists():
        yield None
        return
    with _alone(path):
        finish(path)
        found = sorted(path.glob("worker-*-of-*"))
        if found:
            yield from _opened(path, found)
        else:
            yield None


def _opened(path: Path, found: Sequence[Path]) -> Iterator[SavedState]:
    divisions = {folder.name.rpartition("-")[2] for folder in found}
    if len(divisions) > 1:
        raise RecoveryError(f"recovery.path: {path} holds the state of several numbers of workers; keep one of them")
    with _locked(found):
        of = int(divisions.pop())
        folders = {int(folder.name.split("-")[1]): folder for folder in found}
        saved = [recovery.settings_of(folder) for folder in found]
        if any(each != saved[0] for each in saved):
            raise RecoveryError(f"recovery.path: the workers' folders in {path} were made under different settings")
        workers = [read(folders[i]) if i in folders else {} for i in range(of)]
        yield SavedState(folders, of, saved[0], workers)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keeps other `driftline state` commands away: they would take a move that is being made for an interrupted one."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecoveryError(
                f"recovery.path: another `driftline state` command uses {path}; repeat this one after its end"
            ) from error
        yield
    finally:
        os.close(folder)


@contextmanager
def _locked(folders: Sequence[Path]) -> Iterator[None]:
    try:
        for folder in folders:
            recovery.lock(folder, ENDING_S)
        yield
    finally:
        recovery.release()


def rescale(settings: RegionSettings, of: int | None) -> SavedState | None:
    """Move the state to so many workers (None: as many as before) and to the settings as they are now.

    Returns:
        What was moved; None where nothing is saved.

    Raises:
        RecoveryError: the state cannot be used under these settings.
        SettingsError: the source cannot be divided.
    """
    with opened(settings) as saved:
        if saved is None:
            return None
        now = json.loads(settings.fingerprint())
        changed = [name for name in now if saved.settings.get(name) != now[name]]
        if fixed := [name for name in changed if name not in MOVABLE]:
            raise RecoveryError(
                f"recovery.path: the state was made with other values of {', '.join(fixed)}, and windows are cut by "
                "them; restore them, or start with `driftline state reset --keep-positions`"
            )
        workers = saved.workers
        if "parse" in changed:
            before = saved.settings["parse"]["format"]
            workers = [_reparsed(states, before, settings) for states in workers]
        if "source" in changed:
            workers = [_elsewhere(states, saved.settings["source"], settings) for states in workers]
        _replace(settings, saved, _divided(workers, settings, saved.of, of or saved.of))
        return saved


def reset(settings: RegionSettings, *, keep_positions: bool) -> int:
    """Delete the state, or all of it but what was read, delivered and counted; returns the number of folders.

    Counts are kept with the positions: rows of minutes are absolute, and would lose the lines that are not read again.

    State that is deleted as a whole need not be readable.

    Raises:
        RecoveryError: it is in use, or positions to keep are damaged.
    """
    if keep_positions:
        with opened(settings) as saved:
            if saved is None:
                return 0
            kept = [
                {key: state for key, state in each.items() if is_position(key) or step_of(key) in COUNTS}
                for each in saved.workers
            ]
            _replace(settings, saved, kept)
            return len(saved.folders)
    path = settings.recovery.path
    if not path.exists():
        return 0
    with _alone(path):
        finish(path)
        folders = sorted(path.glob("worker-*-of-*"))
        with _locked(folders):
            for folder in folders:
                shutil.rmtree(folder)
    return len(folders)


def finish(path: Path) -> None:
    """Complete a move whose new folders are complete, or undo one whose are not."""
    moving = path / recovery.MOVING
    if not moving.exists():
        return
    if (moving / COMPLETE).exists():
        names = json.loads((moving / COMPLETE).read_text())
        for name in names["old"]:
            if name not in names["new"] or (moving / name).exists():
                shutil.rmtree(path / name, ignore_errors=True)
        for name in names["new"]:
            if (moving / name).exists():
                os.rename(moving / name, path / name)
        durable.sync_folder(path)
    shutil.rmtree(moving)


def _replace(settings: RegionSettings, saved: SavedState, workers: list[dict[StateKey, Any]]) -> None:
    path, of = settings.recovery.path, len(workers)
    moving = path / recovery.MOVING
    moving.mkdir(mode=0o700)
    for worker, states in enumerate(workers):
        folder = moving / recovery.folder_of(settings, worker, of).name
        folder.mkdir(mode=0o700)
        recovery.create(folder, settings, of)
        write(folder, states)
        _link_windows(folder, states, list(saved.folders.values()))
    new = [recovery.folder_of(settings, worker, of).name for worker in range(of)]
    names = {"old": [folder.name for folder in saved.folders.values()], "new": new}
    durable.write(moving / COMPLETE, json.dumps(names).encode())
    finish(path)


def _link_windows(folder: Path, states: Mapping[StateKey, Any], before: Sequence[Path]) -> None:
    """Links the files that saved windows refer to into a new folder; the old ones stay until the move is complete."""
    for key, state in states.items():
        name = table_log.folder_of(state["windows"]) if step_of(key) == "window" else None
        if name is None:
            continue
        (folder / name).mkdir(mode=0o700)
        for part in (part for old in before for part in (old / name).glob("*")):
            os.link(part, folder / name / part.name)
        durable.sync_folder(folder / name)
    durable.sync_folder(folder)


def _reparsed(states: Mapping[StateKey, Any], before: str, settings: RegionSettings) -> dict[StateKey, Any]:
    found = dict(states)
    for key, state in states.items():
        if step_of(key) == "parse":
            try:
                found[key] = moved(state, before, settings.parse)
            except ValueError as error:
                raise RecoveryError(f"recovery.path: {key[1]}: {error}") from error
    return found


def _elsewhere(
    states: Mapping[StateKey, Any], before: Mapping[str, Any], settings: RegionSettings
) -> dict[StateKey, Any]:
    """The states for another source: positions in another topic mean nothing, what was learnt stays."""
    source = settings.source
    if source.type != before["type"]:
        raise RecoveryError(
            f'recovery.path: the state is of a source of type "{before["type"]}", whose partitions are not those of '
            f'a source of type "{source.type}"; start without state after `driftline state reset`'
        )
    if source.type != "kafka" or source.topic == before["topic"]:
        return dict(states)
    found: dict[StateKey, Any] = {}
    for key, state in states.items():
        partition = f"{source.topic}/{key[1].rpartition('/')[2]}"
        if step_of(key) == "source":
            continue
        found[key] = state  # windows that are open end under the old name
        if step_of(key) == "parse":
            found[key[0], partition] = without_records(state)
        elif step_of(key) == "find":
            found[key[0], partition] = state
            del found[key]
    return found


def _divided(
    workers: list[dict[StateKey, Any]], settings: RegionSettings, before: int, of: int
) -> list[dict[StateKey, Any]]:
    if before == of:
        return workers
    if settings.route == "session":
        raise RecoveryError(
            'recovery.path: with route = "session" a window is cut from several partitions, so the state of '
            f"{before} workers cannot be divided; restore that number"
        )
    division = _positions(workers, settings, of)
    divided = divide(workers, division.owner, of)
    sources = [key for states in workers for key in states if step_of(key) == "source"]
    for worker, units in enumerate(division.units):
        divided[worker] |= {(sources[0][0], unit): state for unit, state in units.items() if sources}
    for key in dict.fromkeys(key for states in workers for key in states if is_position(key)):
        if step_of(key) != "source":
            before_states = [states.get(key) for states in workers]
            files = [_file_of(settings, step_of(key), i, before) for i in range(before)]
            targets = [_file_of(settings, step_of(key), i, of) for i in range(of)]
            for worker, state in enumerate(sink_states(before_states, files, targets)):
                divided[worker][key] = state
    return divided


def _positions(workers: list[dict[StateKey, Any]], settings: RegionSettings, of: int) -> Division:
    states = {key[1]: state for found in workers for key, state in found.items() if step_of(key) == "source"}
    try:
        return divide_positions(settings.source, {unit: state or {} for unit, state in states.items()}, of)
    except SettingsError as error:
        raise RecoveryError(f"source.type: {error}") from error


def _file_of(settings: RegionSettings, name: str, worker: int, of: int) -> str | None:
    """The file that a worker's sink writes; None where the sink is not a file."""
    named: dict[str, Any] = {f"{i}-{sink.type}": sink for i, sink in enumerate(settings.sinks)}
    named |= {DEAD_LETTERS: settings.dead_letters, DRIFT_EVENTS: settings.drift_events}
    sink = named.get(name)
    if sink is None or sink.type != "jsonl":
        return None
    return str((sink if of == 1 and settings.shards == 1 else sink.for_writer(str(worker))).path)
