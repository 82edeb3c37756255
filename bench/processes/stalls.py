"""What keeps processes from running: time on a processor and time waiting for one, sampled from outside.

Linux counts both for each thread in `/proc/PID/task/TID/schedstat`. A process that waits without wanting a processor
(for the network, the disk or a lock) is in neither.
"""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

EVERY_S = 0.02


class Stalls:
    """Samples processes every `EVERY_S` while the block runs.

    Attributes:
        rows: One row a sample: wall clock in ns, then ns on a processor and ns waiting for one of each process.
    """

    def __init__(self, processes: Mapping[str, int]) -> None:
        """Take the ids of the processes by name."""
        self._processes = dict(processes)
        self.rows: list[list[int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(EVERY_S):
            row = [time.time_ns()]
            for pid in self._processes.values():
                row += schedule_of(pid)
            self.rows.append(row)

    def between(self, start_ns: int, end_ns: int) -> dict[str, dict[str, float]]:
        """Milliseconds that the threads of each process ran and waited for a processor between two moments."""
        rows: NDArray[np.int64] = np.array(self.rows, np.int64)
        first, last = (int(np.searchsorted(rows[:, 0], at)) for at in (start_ns, end_ns))
        first, last = max(0, first - 1), min(len(rows) - 1, last)
        used = (rows[last] - rows[first]) / 1e6
        return {
            name: {"ran_ms": float(used[1 + 2 * i]), "waited_ms": float(used[2 + 2 * i])}
            for i, name in enumerate(self._processes)
        }


def schedule_of(pid: int) -> list[int]:
    """Ns on a processor and ns waiting for one, of all threads of a process; zeros once it has ended."""
    ran = waited = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            fields = (task / "schedstat").read_text().split()
            ran, waited = ran + int(fields[0]), waited + int(fields[1])
    except OSError:
        return [ran, waited]
    return [ran, waited]


def timeline(
    stalls: Stalls, produced_ns: NDArray[np.int64], latency_ms: NDArray[np.float64], most: int = 5
) -> list[dict[str, Any]]:
    """The worst alerts that are at least a second apart, each with what the processes did in its time."""
    found: list[dict[str, Any]] = []
    taken: list[int] = []
    for row in np.argsort(-latency_ms):
        start = int(produced_ns[row])
        if any(abs(start - other) < 1_000_000_000 for other in taken):
            continue
        taken.append(start)
        end = start + int(latency_ms[row] * 1e6)
        moment = {"at_s": (start - int(produced_ns.min())) / 1e9, "latency_ms": float(latency_ms[row])}
        found.append({**moment, **stalls.between(start, end)})
        if len(found) == most:
            break
    return found
