"""The faults of a soak, in the order in which they happen."""

import os
import signal
import time
from collections.abc import Callable

from tests.support.apache_kafka import ApacheKafka
from tests.support.processes import Engine, until

PAUSE_S = 4.0

Fault = Callable[[Engine, ApacheKafka], None]


def _signal_worker(engine: Engine, worker: int, number: signal.Signals) -> int:
    pid = until(lambda: len(engine.pids()) > worker and engine.pids()[worker], f"worker {worker} runs")
    os.kill(pid, number)
    return pid


def _kill_first(engine: Engine, _: ApacheKafka) -> None:
    _signal_worker(engine, 0, signal.SIGKILL)


def _kill_second(engine: Engine, _: ApacheKafka) -> None:
    _signal_worker(engine, 1, signal.SIGKILL)


def _pause_worker(engine: Engine, _: ApacheKafka) -> None:
    pid = _signal_worker(engine, 0, signal.SIGSTOP)
    time.sleep(PAUSE_S)
    os.kill(pid, signal.SIGCONT)


def _pause_broker(_: Engine, kafka: ApacheKafka) -> None:
    kafka.pause()
    time.sleep(PAUSE_S)
    kafka.resume()


def _kill_broker(_: Engine, kafka: ApacheKafka) -> None:
    kafka.stop()
    kafka.start()


def _restart(engine: Engine, _: ApacheKafka) -> None:
    engine.terminate()
    engine.end()
    engine.start()


def _kill_supervisor(engine: Engine, _: ApacheKafka) -> None:
    engine.kill()
    engine.start()


FAULTS: dict[str, Fault] = {
    "a worker is killed": _kill_first,
    "the broker stands still for 4 s": _pause_broker,
    "the other worker is killed": _kill_second,
    "the engine is stopped and started": _restart,
    "the broker is killed and started with its log": _kill_broker,
    "a worker stands still for 4 s": _pause_worker,
    "the supervisor is killed and started": _kill_supervisor,
}
