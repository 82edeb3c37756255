"""Runs the jobs of the service's folder, one at a time, each in a process of its own.

A job's row in the database is all that its runner and the routes share, so a job is followed and cancelled through it.
States: waiting → running → done, failed or cancelled. A job whose service stops is started again with the service. If
the service was killed, that happens once, unless the version is in the model store already.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from pydantic import ValidationError

from connectors.base import ConnectorError
from connectors.sql_schema import JOBS
from engine.api.services import Services
from engine.offline.training_job import LOCK, TrainingJob, published_version
from foundation.errors import DriftlineError

log = logging.getLogger(__name__)

POLL_S = 0.5
"""Time between two looks at the queue, and at the limits of a running job."""

PROGRESS_S = 1.0
"""Time between two writes of a job's progress."""

MAX_ATTEMPTS = 2
EVENT_BYTES = 1 << 24
"""Longest line that a job may write."""

ENDED = ("done", "failed", "cancelled")


class JobRunner:
    """Takes waiting jobs of the service's folder in their order."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._folder = services.settings.jobs.path
        self._lock: int | None = None

    async def run(self) -> None:
        """Run jobs until cancelled; a database that fails is tried again."""
        try:
            while True:
                try:
                    row = await asyncio.to_thread(self._take)
                    if row is not None:
                        await self._run(row)
                        continue
                except (ConnectorError, OSError) as error:
                    log.error("jobs wait: %s", error)
                await asyncio.sleep(POLL_S)
        finally:
            if self._lock is not None:
                os.close(self._lock)

    def _take(self) -> Mapping[str, Any] | None:
        """Mark the oldest waiting job as running; None if no job waits, or another service runs them."""
        if not self._owns_folder():
            return None
        waiting = self._mine(JOBS.c.state == "waiting").order_by(JOBS.c.created, JOBS.c.id)
        row = self._services.database.row(waiting)
        if row is None:
            return None
        started = {"state": "running", "started": self._services.now(), "attempts": row["attempts"] + 1}
        return {**row, **started} if change_job(self._services, row["id"], "waiting", **started) else None

    def _owns_folder(self) -> bool:
        """Whether this service runs the jobs of the folder; the first time, settle those that did not end."""
        if self._lock is not None:
            return True
        if not self._folder.is_dir():
            return False
        lock = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for row in self._services.database.rows(self._mine(JOBS.c.state == "running")):
                self._settle(row)
        except BlockingIOError:
            os.close(lock)
            return False
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        return True

    def _mine(self, condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
        return sa.select(JOBS).where(condition, JOBS.c.folder == str(self._folder.resolve()))

    def _settle(self, row: Mapping[str, Any]) -> None:
        """Decide about a job whose service ended while it ran."""
        with contextlib.suppress(FileNotFoundError), (self._folder / row["id"] / LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # its process ends with the service
        if self._end_published(row):
            return
        if by := row["cancelled_by"]:
            self._end(row, "cancelled", f"cancelled by {by}")
            return
        if row["attempts"] < MAX_ATTEMPTS:
            log.warning("job %s is started again: the service ended while it ran", row["id"])
            change_job(self._services, row["id"], "running", state="waiting", stage="", done=0, total=0, figures="{}")
            return
        self._end(row, "failed", "the service ended while the job ran, as it did at the first attempt")

    async def _run(self, row: Mapping[str, Any]) -> None:
        """Run a job; an unexpected error about it fails it, so that the jobs behind it still run."""
        try:
            await self._follow(row)
        except Exception as error:
            log.exception("job %s cannot be followed", row["id"])
            failed = "failed", f"it cannot be followed: {type(error).__name__}: {error}"
            await self._until_stored(self._finish, row, failed, {}, None)

    async def _follow(self, row: Mapping[str, Any]) -> None:
        """Start the process of a job, and store how it ended."""
        try:
            process = await self._start(row)
        except OSError as error:
            await self._until_stored(self._end, row, "failed", f"it cannot be started: {error}")
            return
        reading = asyncio.create_task(self._read(process, row))
        try:
            killed = await self._watch(process, row)
            outcome = await reading
        except asyncio.CancelledError:
            self._give_back(row)
            raise
        finally:
            _kill(process)
            reading.cancel()
            await process.wait()
        await self._until_stored(self._finish, row, killed, outcome, process.returncode)

    def _give_back(self, row: Mapping[str, Any]) -> None:
        """Let a job wait for the next start of the service; this attempt does not count if the database notes it."""
        try:
            change_job(self._services, row["id"], "running", state="waiting", attempts=row["attempts"] - 1)
        except ConnectorError as error:  # in place of the cancellation it would keep the service from ending
            log.error("job %s is taken up as after a crash: %s", row["id"], error)

    async def _start(self, row: Mapping[str, Any]) -> asyncio.subprocess.Process:
        folder = self._folder / row["id"]
        environment = {**os.environ, "OMP_NUM_THREADS": str(self._services.settings.jobs.threads)}
        with (folder / "log.txt").open("ab") as output:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "engine.cli.job_process", str(folder), stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=output, env=environment, start_new_session=True,
                limit=EVENT_BYTES,
            )  # fmt: skip

    @staticmethod
    async def _until_stored(store: Callable[..., None], *arguments: Any) -> None:
        """Store how a job ended; while the database cannot be written, no further job starts."""
        while True:
            try:
                await asyncio.to_thread(store, *arguments)
                return
            except ConnectorError as error:
                log.error("the end of a job waits: %s", error)
            await asyncio.sleep(PROGRESS_S)

    async def _watch(self, process: asyncio.subprocess.Process, row: Mapping[str, Any]) -> tuple[str, str]:
        """Wait for the end of a job's process, or kill it.

        Returns:
            The state of a job that was killed, and why; ("", "") for one that ended normally or crashed.
        """
        limits, end_s = self._services.settings.jobs, time.monotonic() + self._services.settings.jobs.limit_s
        while process.returncode is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await process.wait()
            with contextlib.suppress(ConnectorError):
                by = await asyncio.to_thread(cancelled_by, self._services, row["id"])
                if by:
                    _kill(process)
                    return "cancelled", f"cancelled by {by}"
            if time.monotonic() > end_s:
                _kill(process)
                return "failed", f"killed after {limits.limit_s:g} s (limit_s)"
            if resident_bytes(process.pid) > limits.memory_bytes:
                _kill(process)
                return "failed", f"killed at more than {limits.memory_bytes:,} bytes of memory (memory_bytes)"
        return "", ""

    async def _read(self, process: asyncio.subprocess.Process, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Store the progress of a job; return its last event, which has the report or the error."""
        last: Mapping[str, Any] = {}
        written_s, stage = 0.0, ""
        async for event in _events(process):
            last = event
            if "stage" not in event or (event["stage"] == stage and time.monotonic() < written_s + PROGRESS_S):
                continue
            written_s, stage = time.monotonic(), event["stage"]
            values = {**event, "figures": orjson.dumps(event["figures"]).decode()}
            with contextlib.suppress(ConnectorError):  # the next progress comes soon
                await asyncio.to_thread(change_job, self._services, row["id"], "running", **values)
        return last

    def _finish(
        self, row: Mapping[str, Any], killed: tuple[str, str], outcome: Mapping[str, Any], code: int | None
    ) -> None:
        """Store how a job ended; a version that it has published counts, however it ended."""
        if "report" in outcome:
            self._end(row, "done", "", outcome["report"])
        elif not self._end_published(row):
            self._end(row, *(killed if killed[0] else ("failed", outcome.get("error") or _end_of(code))))

    def _end_published(self, row: Mapping[str, Any]) -> bool:
        """Whether a job without a report has published its version; then it is done."""
        try:
            version = published_version(TrainingJob.model_validate_json(row["request"]))
        except (DriftlineError, ValidationError) as error:
            log.warning("job %s: %s", row["id"], error)
            return False
        if version is None:
            return False
        self._end(row, "done", "it ended behind the publication, before its report", {"version": version})
        return True

    def _end(self, row: Mapping[str, Any], state: str, sentence: str, report: Mapping[str, Any] | None = None) -> None:
        version = None if report is None else report["version"]
        text = "" if report is None or len(report) == 1 else orjson.dumps(report).decode()
        values = {"state": state, "sentence": sentence, "report": text, "version": version}
        change_job(self._services, row["id"], "running", **values, ended=self._services.now())
        if version is not None:
            self._services.audit(row["actor"], f"model.{row['kind']}", row["model"], version=version, job=row["id"])
        log.info("job %s: %s%s", row["id"], state, f", {sentence}" if sentence else "")
        shutil.rmtree(self._folder / row["id"] / "data", ignore_errors=True)


def change_job(services: Services, identity: str, now: str, **values: Any) -> bool:
    """Change a job if it is in the state `now`; whether it was.

    Raises:
        SinkUnavailableError: the database cannot be written now.
    """
    update = JOBS.update().where(JOBS.c.id == identity, JOBS.c.state == now)
    with services.database.write() as connection:
        return bool(connection.execute(update.values(**values, revision=JOBS.c.revision + 1)).rowcount)


def cancelled_by(services: Services, identity: str) -> str:
    """Who has cancelled a job; "" if nobody has."""
    row = services.database.row(sa.select(JOBS.c.cancelled_by).where(JOBS.c.id == identity))
    return "" if row is None else str(row["cancelled_by"])


def delete_old_jobs(services: Services, before: str) -> int:
    """Delete the jobs of this service's folder that ended before a time, with their files; how many.

    Raises:
        SinkUnavailableError: the database cannot be written now.
    """
    folder = services.settings.jobs.path
    old = JOBS.c.state.in_(ENDED), JOBS.c.ended < before, JOBS.c.folder == str(folder.resolve())
    names = [row["id"] for row in services.database.rows(sa.select(JOBS.c.id).where(*old))]
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
    with services.database.write() as connection:
        return connection.execute(JOBS.delete().where(*old)).rowcount


def resident_bytes(pid: int) -> int:
    """Resident memory of a process; 0 where the system does not show it, or the process has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


async def _events(process: asyncio.subprocess.Process) -> AsyncIterator[Mapping[str, Any]]:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        with contextlib.suppress(orjson.JSONDecodeError):  # it was killed within a line
            yield orjson.loads(line)


def _end_of(code: int | None) -> str:
    """How a process without an error of its own ended."""
    if code is not None and code < 0:
        return f"its process was killed by {signal.Signals(-code).name}"
    return f"its process ended with status {code}; see the log"


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill a job with what it has started."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
