"""Supervises programs of Flower, as a service manager does with restart=always."""

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from federation.errors import SetupError
from federation.flower.program_logs import DEFAULT_BOUNDS, LogBounds, bound_log
from foundation.supervision import Supervised

log = logging.getLogger(__name__)

STOP_S = 6.0
"""Time from SIGTERM to SIGKILL: a SuperNode unregisters at its SuperLink within two seconds."""

MARK = "DRIFTLINE_SUPERVISED_LOG"
"""Environment variable by which a program that outlived its supervisor is recognized."""

ORPHAN_POLL_S = 0.02
LOG_CHECK_S = 10.0
"""Time between two checks of a log's size."""


class Program(Supervised):
    """One program in a process group of its own; restarted by `watch` whenever it has ended."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log_path: Path,
        *, logs: LogBounds = DEFAULT_BOUNDS, before: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Start nothing yet.

        Args:
            name: Name in logs.
            command: The program and its arguments.
            environment: All its environment variables.
            log_path: File that its output is appended to; absolute, because the program runs in that folder.
            logs: How much of its output is kept.
            before: Called before each start; may change `command`, and raises at most OSError.
            clock: Monotonic seconds.
        """
        super().__init__(name, self._open, clock)
        self.command = command
        self._environment = environment
        self._log_path = log_path
        self._logs = logs
        self._before = before
        self._log_checked_s = float("-inf")
        self._terminated_s: float | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the latest start."""
        return None if self._process is None else self._process.pid

    @property
    def steady(self) -> bool:
        """Whether it runs and was not asked to end."""
        return self.alive and not self.ending

    @property
    def ending(self) -> bool:
        """Whether it was asked to end and has not been started since."""
        return self._terminated_s is not None

    def start(self) -> None:
        """Start it, after ending a process of an earlier supervisor.

        Raises:
            SetupError: it cannot be started.
        """
        self._end_orphan()
        try:
            super().start()
        except OSError as error:
            where = error.filename or self._log_path
            raise SetupError(f"{self.name} cannot be started: {where}: {error.strerror}") from error

    def _open(self) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] | None = None
        try:
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            self._before()
            # The file for the process id is opened before the start: a process without one could not be ended later.
            with self._log_path.open("ab") as output, self._pid_path.open("w") as pid_file:
                process = subprocess.Popen(
                    self.command, env={**self._environment, MARK: str(self._log_path)},
                    cwd=self._log_path.parent, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    start_new_session=True,
                )  # fmt: skip
                pid_file.write(str(process.pid))
        except OSError:
            if process is not None:
                process.kill()
                process.wait()
            raise
        self._terminated_s = None
        return process

    def _end_orphan(self) -> None:
        """Kill the process that a killed supervisor left: it holds the port, the database, the node's place.

        Its id may belong to another program by now: only a process with this log in its environment is killed.
        """
        try:
            pid = int(self._pid_path.read_text())
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return
        if f"{MARK}={self._log_path}".encode() in environment:
            log.warning("%s of an earlier start is still running and is killed", self.name)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            end_s = time.monotonic() + STOP_S
            while _runs(pid) and time.monotonic() < end_s:
                time.sleep(ORPHAN_POLL_S)

    @property
    def _pid_path(self) -> Path:
        return self._log_path.with_suffix(".pid")

    def watch(self) -> bool:
        """See `Supervised.watch`; also bounds the log, and kills the process `STOP_S` after `end`."""
        now_s = self._clock()
        if self.starts and now_s - self._log_checked_s >= LOG_CHECK_S:
            self._log_checked_s = now_s
            bound_log(self._log_path, self._logs)
        if self._process is not None and self._terminated_s is not None and now_s - self._terminated_s > STOP_S:
            self._process.kill()
        ended = super().watch()
        if ended:
            log.warning("the output of %s is in %s", self.name, self._log_path)
        return ended

    def end(self) -> None:
        """Ask it to end; a later `watch` finds it ended, or kills it after `STOP_S`."""
        if self._process is not None and self.alive and self._terminated_s is None:
            self._process.send_signal(signal.SIGTERM)
            self._terminated_s = self._clock()

    def stop(self) -> None:
        """End it and everything it started: SIGTERM, then SIGKILL; a second call does nothing."""
        process = self.release()
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def last_output(self, count: int = 1500) -> str:
        """The last `count` bytes of its output, for messages."""
        try:
            return self._log_path.read_bytes()[-count:].decode(errors="replace").strip()
        except OSError:
            return ""


def _runs(pid: int) -> bool:
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())  # empty for a zombie
    except OSError:
        return False
