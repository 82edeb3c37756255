"""Programs that a scenario runs next to an engine, ended with the block that needs them."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.processes.engine_process import environment

STOP_S = 60.0


@contextmanager
def running(command: Sequence[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A program in the folder of `log`, to which its output is appended; terminated, and killed after `STOP_S`."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=log.parent, env=environment(), stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def producing(brokers: str, topic: str, lines: Path, rate: int, times: Path) -> Iterator["subprocess.Popen[str]"]:
    """The producer of `bench.processes.producer`, whose standard output is its note; killed with the block."""
    command = [sys.executable, "-m", "bench.processes.producer", str(lines), "--bootstrap", brokers]
    command += ["--topic", topic, "--rate", str(rate), "--times", str(times)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
