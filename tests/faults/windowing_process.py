"""A process that windows lines under Bytewax, with an epoch for each batch; `test_kill_windows` kills it."""

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import numpy as np
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main

from engine.clock import ManualClock
from engine.records import ParsedLines, WindowBatch
from engine.runtime.recovery import delete_unused, forget_unfinished
from engine.steps.window import SessionWindows, Windower, build_windower
from engine.windows import table_log
from tests.engine.windows.test_bounds import NOW_S, SECOND, parsed

BATCHES = 250
LINES = 120
SESSIONS = 6_000
SPEC = SessionWindows(gap_s=60, max_length=5, growth=())


def batch(number: int) -> ParsedLines:
    """One second of lines of random sessions."""
    rng = np.random.default_rng(number)
    times = np.sort(rng.uniform(number, number + 1, LINES))
    return parsed(rng.integers(1, SESSIONS, LINES).tolist(), times.tolist(), position=number * LINES)


def new_windower(state: bytes | None, folder: Path | None) -> Windower:
    """The windows of the test."""
    return build_windower(SPEC, ManualClock(wall_ns=NOW_S * SECOND), state, folder)


def rows(windows: WindowBatch | None) -> list[list[int]]:
    """What a window is known by: session, first and last position, lines."""
    if windows is None:
        return []
    columns = (windows.session, windows.first, windows.last, windows.windows.lengths())
    return np.stack(columns, axis=1).tolist()


class _Partition(StatefulSourcePartition[tuple[str, int], int]):
    def __init__(self, number: int) -> None:
        self._number = number

    def next_batch(self) -> list[tuple[str, int]]:
        if self._number == BATCHES:
            raise StopIteration
        self._number += 1
        return [("a", self._number - 1)]

    def snapshot(self) -> int:
        return self._number


class _Source(FixedPartitionedSource[tuple[str, int], int]):
    def list_parts(self) -> list[str]:
        return ["a"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _Partition:
        return _Partition(resume_state or 0)


class _Step(StatefulBatchLogic[int, list[int], bytes]):
    def __init__(self, state: bytes | None, folder: Path) -> None:
        self._windower = new_windower(state, folder)

    def on_batch(self, values: list[int]) -> tuple[list[list[int]], bool]:
        return [row for number in values for row in rows(self._windower.add(batch(number)).windows)], False

    def on_eof(self) -> tuple[list[list[int]], bool]:
        return rows(self._windower.close_all()), False

    def snapshot(self) -> bytes:
        return self._windower.snapshot()


class _File(StatelessSinkPartition[tuple[str, list[int]]]):
    def __init__(self, path: Path) -> None:
        self._file = path.open("a")

    def write_batch(self, items: list[tuple[str, list[int]]]) -> None:
        self._file.writelines(json.dumps(row) + "\n" for _, row in items)
        self._file.flush()


class _Sink(DynamicSink[tuple[str, list[int]]]):
    def __init__(self, path: Path) -> None:
        self._path = path

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _File:
        return _File(self._path)


def undisturbed() -> Iterator[list[int]]:
    """The windows of a process that nothing interrupts."""
    windower = new_windower(None, None)
    for number in range(BATCHES):
        yield from rows(windower.add(batch(number)).windows)
    yield from rows(windower.close_all())


def main(folder: Path) -> None:
    """Windows all batches from where the last process was."""
    table_log.SMALL = 0
    state = folder / "state"
    if not state.exists():
        state.mkdir()
        init_db_dir(state, 1)
    forget_unfinished(state)
    delete_unused(state)
    flow = Dataflow("windowing")
    numbers: Any = op.input("in", flow, _Source())
    op.output("out", op.stateful_batch("window", numbers, lambda s: _Step(s, state)), _Sink(folder / "windows.jsonl"))
    config = RecoveryConfig(state, backup_interval=timedelta(0))
    cluster_main(flow, [], 0, epoch_interval=timedelta(0), recovery_config=config)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
