import os

import numpy as np

from bench.processes.stalls import Stalls, schedule_of, timeline

MS = 1_000_000


def test_own_process_has_run() -> None:
    ran, waited = schedule_of(os.getpid())
    assert ran > 0
    assert waited >= 0


def test_an_ended_process_has_no_times() -> None:
    assert schedule_of(2**22 + 1) == [0, 0]


def test_the_worst_alerts_are_a_second_apart_and_have_what_processes_did() -> None:
    stalls = Stalls({"engine": 1, "broker": 2})
    # Every 100 ms: the engine runs 10 ms and waits 50 ms, the broker runs 1 ms.
    stalls.rows = [[i * 100 * MS, i * 10 * MS, i * 50 * MS, i * MS, 0] for i in range(100)]
    produced_ns = np.array([1_000, 1_100, 5_000], np.int64) * MS
    found = timeline(stalls, produced_ns, np.array([300.0, 400.0, 200.0]))
    assert [(each["at_s"], each["latency_ms"]) for each in found] == [(0.1, 400.0), (4.0, 200.0)]
    assert found[0]["engine"] == {"ran_ms": 50.0, "waited_ms": 250.0}
    assert found[1]["broker"] == {"ran_ms": 3.0, "waited_ms": 0.0}
