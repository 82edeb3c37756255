"""Programs of other makers, started, watched and started again, as a service manager does with restart=always."""

import contextlib
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from federation.errors import SetupError
from foundation.supervision import Supervised

log = logging.getLogger(__name__)

AbsolutePath = Annotated[Path, AfterValidator(Path.resolve)]
"""A path in settings, named from the folder that the command is started in: its programs run in other ones."""

STOP_S = 6.0
"""From SIGTERM to SIGKILL: a SuperNode says goodbye to its SuperLink within two."""

MARK = "DRIFTLINE_SUPERVISED_LOG"
"""Variable by which a program that outlived its supervisor is known again."""

ORPHAN_LOOK_S = 0.02
LOG_LOOK_S = 10.0
"""Between two looks at how large a log is."""


def flower_environment(home: Path) -> dict[str, str]:
    """Variables for a Flower program: no reports to its makers, its own home, this environment's programs.

    Args:
        home: Folder that Flower keeps its own files in.
    """
    # Settings in the environment are secrets (the training store's key, passwords): Flower needs none of them.
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLWR_", "DRIFTLINE_"))}
    scripts = sysconfig.get_path("scripts")
    return kept | {
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_HOME": str(home),
        # Seconds between two looks for a task; the default of a second is paid once a message.
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
        "PATH": os.pathsep.join([scripts, kept.get("PATH", "")]),
        # The packages of this process, also where they are not installed but run from a checkout.
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[2]), kept.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }


def flower_program(name: str) -> str:
    """Path of a program of this environment, such as `flower-superlink`.

    Raises:
        SetupError: Flower is not installed.
    """
    path = Path(sysconfig.get_path("scripts")) / name
    if not path.is_file():
        raise SetupError(f"{name} is not in {path.parent}: install the extra, pip install 'driftline[federation]'")
    return str(path)


class LogFiles(BaseModel):
    """How much of the output of Flower's programs is kept, for each of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_mb: Annotated[float, Field(gt=0)] = Field(
        10.0, description="Size from which a program's log is moved aside and begun anew, in MB."
    )
    files: Annotated[int, Field(ge=1)] = Field(
        3, description="Logs moved aside that are kept: `NAME.log.1`, the newest, and so on."
    )
    days: Annotated[float, Field(gt=0)] = Field(30.0, description="Days after which a log moved aside is removed.")

    def bound(self, path: Path) -> None:
        """One look at a log that a program is writing; a failure is logged, since nothing depends on it."""
        try:
            if path.exists() and path.stat().st_size > self.max_mb * 1e6:
                self._move_aside(path)
            for old in path.parent.glob(f"{path.name}.*"):
                if time.time() - old.stat().st_mtime > self.days * 86_400:
                    old.unlink()
        except OSError as error:
            log.warning("the log %s cannot be kept within its bounds: %s", path, error)

    def _move_aside(self, path: Path) -> None:
        """Copies and empties it: the program has it open, and goes on at its end."""
        for number in range(self.files - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                _numbered(path, number).replace(_numbered(path, number + 1))
        try:
            shutil.copyfile(path, _numbered(path, 1))
        except OSError as error:
            _numbered(path, 1).unlink(missing_ok=True)
            log.warning("the output in %s is dropped, since there is no room to keep it: %s", path, error)
        os.truncate(path, 0)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


class Program(Supervised):
    """One program in a process group of its own; restarted by `watch` whenever it has ended."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log_path: Path,
        *, logs: LogFiles | None = None, before: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Start nothing yet.

        Args:
            name: What the logs call it.
            command: The program and its arguments.
            environment: All its variables.
            log_path: Its output is added to this file; absolute, since the program runs in its folder.
            logs: How much of its output is kept.
            before: Called before each start; may change `command`, and raises no more than OSError.
            clock: Seconds, monotonic.
        """
        super().__init__(name, self._open, clock)
        self.command = command
        self._environment = environment
        self._log_path = log_path
        self._logs = logs or LogFiles.model_validate({})
        self._before = before
        self._looked_s = float("-inf")
        self._told_s: float | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the latest start."""
        return None if self._process is None else self._process.pid

    @property
    def steady(self) -> bool:
        """Whether it runs and was not told to end."""
        return self.alive and not self.told

    @property
    def told(self) -> bool:
        """Whether it was told to end, and has not been started since."""
        return self._told_s is not None

    def start(self) -> None:
        """Start it.

        Raises:
            SetupError: it cannot be started at all.
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
            # Opened for the number before the start: what runs unnumbered would hold its port for ever.
            with self._log_path.open("ab") as output, self._pid_path.open("w") as number:
                process = subprocess.Popen(
                    self.command, env={**self._environment, MARK: str(self._log_path)},
                    cwd=self._log_path.parent, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    start_new_session=True,
                )  # fmt: skip
                number.write(str(process.pid))
        except OSError:
            if process is not None:
                process.kill()
                process.wait()
            raise
        self._told_s = None
        return process

    def _end_orphan(self) -> None:
        """Ends what a supervisor that was killed left running: it holds the port, the database, the node's place.

        The number may belong to another program by now: only a process whose environment says that it keeps
        its log here is ended.
        """
        try:
            pid = int(self._pid_path.read_text())
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return
        if self._mark().encode() in environment:
            log.warning("%s of an earlier start still runs and is ended", self.name)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            end_s = time.monotonic() + STOP_S
            while _runs(pid) and time.monotonic() < end_s:
                time.sleep(ORPHAN_LOOK_S)

    @property
    def _pid_path(self) -> Path:
        return self._log_path.with_suffix(".pid")

    def _mark(self) -> str:
        return f"{MARK}={self._log_path}"

    def watch(self) -> bool:
        """Look at it once; see `Supervised.watch`. Keeps its log within bounds, and kills it `STOP_S` after `end`."""
        now_s = self._clock()
        if self.starts and now_s - self._looked_s >= LOG_LOOK_S:
            self._looked_s = now_s
            self._logs.bound(self._log_path)
        if self._process is not None and self._told_s is not None and now_s - self._told_s > STOP_S:
            self._process.kill()
        ended = super().watch()
        if ended:
            log.warning("the output of %s is in %s", self.name, self._log_path)
        return ended

    def end(self) -> None:
        """Ask it to end; a later `watch` sees that it did, or kills it after `STOP_S`."""
        if self._process is not None and self.alive and self._told_s is None:
            self._process.send_signal(signal.SIGTERM)
            self._told_s = self._clock()

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

    def last_words(self, count: int = 1500) -> str:
        """The end of its output, for messages."""
        try:
            return self._log_path.read_bytes()[-count:].decode(errors="replace").strip()
        except OSError:
            return ""


def _runs(pid: int) -> bool:
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())  # empty once it is dead and nobody asked for its end
    except OSError:
        return False


def python_module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module with this interpreter."""
    return [sys.executable, "-m", name, *arguments]


def write_secret(path: Path) -> None:
    """Writes 32 random bytes that only this user can read; what was there before is gone."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(32))
