"""The trainer of a region: one process that has torch loaded during rounds, and the socket through which jobs reach it.

The thin client (`federation.flower.client_app`) connects, sends one job and waits. Jobs run one after the other
in a worker process of low priority, which stays alive between them, so that a pass costs no import of
torch and no encoding of templates that are already encoded. A while after the last job the worker is replaced by a
new one, which loads torch with the next round: at rest that saves 500 MB.

Failures:

- The client dies: the job runs to its end or its deadline, its answer is dropped, the next job is taken.
- The training hangs: at the deadline the worker is killed and restarted; the client gets an error.
- The worker dies (out of memory, a crash in native code): the client gets an error, and the worker is restarted.
- The node dies: the worker notices and ends.
"""

import contextlib
import logging
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from federation.errors import FederationError, TrainerError
from federation.region.trainer_connection import TrainerConnection, connect

log = logging.getLogger(__name__)

Handler = Callable[[str, bytes], bytes]
"""(kind of the job, its body) → its answer; raises a FederationError with the reason, or any exception."""

Build = Callable[[], Handler]
"""Builds the handler inside the worker process; a function of a module or a `functools.partial` of one."""

START_S = 120.0
"""Time limit for a worker to become ready: importing torch took 12 s on two busy cores."""

REST_S = 600.0
"""Time without a job after which the worker is replaced. Loading torch again takes three seconds."""

ACCEPT_S = 0.2
RETRY_S = 0.5
"""Pause after a client could not be accepted."""

REQUEST_S = 30.0
"""Time limit for a connected client to send its job."""

_READY = b"ready"


class TrainerServer:
    """Listens on a unix socket and runs jobs in the worker; use `start` and `stop`, or a context manager."""

    def __init__(self, path: Path, build: Build, *, limit_s: float, nice: int, rest_s: float = REST_S) -> None:
        """Start nothing yet.

        Args:
            path: Path of the socket, which only this user can open; a socket of an earlier node is replaced.
            build: See `Build`.
            limit_s: Time limit of a job in seconds, regardless of the sender's request.
            nice: Added to the worker's niceness, 0 to 19: engines on the same machine have priority.
            rest_s: Time without a job after which the worker is replaced, in seconds.
        """
        self._path = path
        self._worker = _Worker(build, nice)
        self._limit_s = limit_s
        self._rest_s = rest_s
        self._stop = threading.Event()
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> "TrainerServer":
        """Start the worker and listen; return when clients can connect."""
        self._path.unlink(missing_ok=True)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._path))
        self._path.chmod(0o600)
        self._listener.listen(8)
        self._listener.settimeout(ACCEPT_S)
        self._worker.start()
        self._thread = threading.Thread(target=self._serve, name="trainer-server", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the worker, also within a job, and remove the socket."""
        self._stop.set()
        self._worker.stop()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
        if self._listener is not None:
            self._listener.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> "TrainerServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def ready(self) -> bool:
        """Whether the worker has everything loaded that its first job needs."""
        with contextlib.suppress(EOFError, OSError):  # it died; the next job restarts it
            return self._worker.ready(0.0)
        return False

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker, for tests and measurements."""
        return self._worker.pid

    def _serve(self) -> None:
        while not self._stop.is_set() and self._listener is not None:
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                self._rest()
                continue
            except OSError as error:
                if not self._stop.is_set():  # such as too many open files, which passes
                    log.error("the trainer cannot accept a client: %s", error)
                    self._stop.wait(RETRY_S)
                continue
            with TrainerConnection(client) as channel:
                try:
                    channel.send(*self._answer(channel))
                except (TrainerError, TypeError, ValueError) as error:
                    # The client is gone, or its job is malformed; the next one is served.
                    log.warning("the trainer dropped a client: %s", error)
                except Exception:
                    # The edge of a thread: without this the region would be silent in all later rounds.
                    log.exception("the trainer dropped a client")

    def _rest(self) -> None:
        try:
            self._worker.rest(self._rest_s)
        except Exception:  # such as no memory for a process; the next job starts one
            log.exception("the trainer at rest cannot be replaced")

    def _answer(self, channel: TrainerConnection) -> tuple[dict[str, Any], bytes]:
        """Header and body of the answer to the job on the channel."""
        header, body = channel.receive(REQUEST_S)
        kind, asked_s = str(header.get("kind")), float(header.get("timeout_s", self._limit_s))
        try:
            return {"error": None}, self._worker.run(kind, body, min(asked_s, self._limit_s))
        except FederationError as error:
            log.warning("the job %r failed: %s", kind, error)
            return {"error": str(error)}, b""


def request(path: Path, kind: str, body: bytes, timeout_s: float) -> bytes:
    """Send one job to the trainer that listens at `path` and wait for its answer.

    Raises:
        TrainerError: no trainer listens, or the training failed or did not end within `timeout_s` seconds.
    """
    with connect(path) as channel:
        channel.send({"kind": kind, "timeout_s": timeout_s}, body)
        # The server kills a job at its deadline and then reports it, so its answer may come a little later.
        header, answer = channel.receive(timeout_s + START_S)
    if header.get("error") is not None:
        raise TrainerError(str(header["error"]))
    return answer


class _Worker:
    """The process that trains, and its restart after a death or a missed deadline."""

    def __init__(self, build: Build, nice: int) -> None:
        self._build = build
        self._nice = nice
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._stopped = False
        self._ready = False
        self._started_s = 0.0
        self._used_s: float | None = None
        self._reading = threading.Lock()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        # A fresh interpreter: a fork would copy the locks of this process's threads.
        context = multiprocessing.get_context("spawn")
        pipe, child_pipe = context.Pipe()
        process = context.Process(
            target=_work, args=(child_pipe, self._build, self._nice), name="driftline-trainer", daemon=True
        )
        self._ready, self._started_s, self._used_s = False, time.monotonic(), None
        process.start()
        self._process, self._pipe = process, pipe  # only now: one that could not be started cannot be ended either
        child_pipe.close()

    def stop(self) -> None:
        self._stopped = True
        self._end()

    def rest(self, after_s: float) -> None:
        """Replace a worker whose last job ended `after_s` seconds ago."""
        if self._used_s is not None and time.monotonic() - self._used_s > after_s:
            self._restart()

    def ready(self, timeout_s: float) -> bool:
        """Whether it takes jobs now, or within `timeout_s`."""
        with self._reading:
            if not self._ready and self._pipe is not None and self._pipe.poll(timeout_s):
                self._ready = self._pipe.recv_bytes() == _READY
            return self._ready

    def run(self, kind: str, body: bytes, timeout_s: float) -> bytes:
        deadline_s = time.monotonic() + timeout_s
        if self._process is None or not self._process.is_alive():
            self._restart()
        pipe = self._pipe
        if pipe is None:
            raise TrainerError("the trainer is stopping")
        try:
            if not self.ready(timeout_s):
                # A worker that is killed while it starts is not closer to ready at the next job.
                if time.monotonic() - self._started_s > START_S:
                    self._restart()
                raise TrainerError(f"the trainer is still starting; the {kind} job was not started")
            pipe.send_bytes(kind.encode())
            pipe.send_bytes(body)
            if not pipe.poll(max(0.0, deadline_s - time.monotonic())):
                self._restart()
                raise TrainerError(f"the {kind} job was killed: it did not end within {timeout_s:g} s")
            failed, answer = pipe.recv_bytes() == b"failed", pipe.recv_bytes()
            self._used_s = time.monotonic()
        except (EOFError, OSError) as error:
            code = self._end()
            self._restart()
            raise TrainerError(f"the trainer process died in a {kind} job with exit code {code}") from error
        if failed:
            raise TrainerError(answer.decode())
        return answer

    def _restart(self) -> None:
        self._end()
        if not self._stopped:
            self.start()

    def _end(self) -> int | None:
        process, self._process = self._process, None
        pipe, self._pipe = self._pipe, None
        code = None
        if process is not None:
            process.kill()
            process.join()
            code = process.exitcode
            process.close()
        if pipe is not None:
            pipe.close()
        return code


def _work(pipe: Connection, build: Build, nice: int) -> None:
    """Build the handler once, then answer jobs until the node is gone; the body of the worker process."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is first imported
    os.nice(nice)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    handler: Handler | None = None
    with contextlib.suppress(Exception):  # the first job builds it again and reports the reason
        handler = build()
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        pipe.send_bytes(_READY)
        while True:
            kind, body = pipe.recv_bytes().decode(), pipe.recv_bytes()
            try:
                handler = handler or build()
                outcome, answer = b"done", handler(kind, body)
            except FederationError as error:
                outcome, answer = b"failed", str(error).encode()
            except Exception as error:
                # The edge of a process: any exception of a training is reported to the round.
                log.exception("the %s job failed", kind)
                outcome, answer = b"failed", f"{type(error).__name__}: {error}".encode()
            pipe.send_bytes(outcome)
            pipe.send_bytes(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
