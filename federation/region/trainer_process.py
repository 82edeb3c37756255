"""The warm trainer of a region: one process that has torch loaded, and the socket through which work reaches it.

The thin client (`federation.flower.client_app`) connects, sends one job and waits. Jobs run one after the other
in a worker process of low priority, which stays alive between rounds, so that a pass costs no import of
torch and no encoding of templates that are already encoded.

What can go wrong, and what then happens:

- The client dies: the job runs to its end or its deadline, its answer is dropped, the next one is taken.
- The training hangs: at the deadline the worker is killed and started anew; the client is told.
- The worker dies (out of memory, a crash in native code): the client is told, a new worker is started.
- The node dies: the worker sees it and ends.
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

from federation.errors import FederationError, TrainerError
from federation.region import framing as wire

log = logging.getLogger(__name__)

Handler = Callable[[str, bytes], bytes]
"""(kind of the job, its body) → its answer; raises what `federation.errors` declares, or anything."""

Build = Callable[[], Handler]
"""Makes the handler inside the worker process; a module's function or a `functools.partial` of one."""

START_S = 120.0
"""How long a worker may take to become ready: importing torch took 12 s on two busy cores."""

RETRY_S = 0.5

_READY = b"ready"

_FRAME_S = 30.0
"""How long the transfer of one frame may take on one machine."""


class TrainerServer:
    """Listens on a unix socket and runs jobs in the worker; `start` and `stop`, or a context manager."""

    def __init__(self, path: Path, build: Build, *, limit_s: float, nice: int) -> None:
        """Takes where to listen and what to run.

        Args:
            path: Of the socket, readable by this user only; what an earlier node left there is removed.
            build: See `Build`.
            limit_s: Longest time one job may take, whatever its sender asks for.
            nice: Added to the worker's niceness, 0 to 19: engines on the same machine go first.
        """
        self._path = path
        self._worker = _Worker(build, nice)
        self._limit_s = limit_s
        self._stop = threading.Event()
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> "TrainerServer":
        """Starts the worker and listens; returns once clients can connect."""
        self._path.unlink(missing_ok=True)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._path))
        self._path.chmod(0o600)
        self._listener.listen(8)
        self._listener.settimeout(0.2)
        self._worker.start()
        self._thread = threading.Thread(target=self._serve, name="trainer-server", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends the worker, also in the middle of a job, and removes the socket."""
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
        with contextlib.suppress(EOFError, OSError):  # it died; the first job starts it anew
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
                continue
            except OSError as error:
                if not self._stop.is_set():  # such as too many open files: that passes, and nobody else listens
                    log.error("the trainer takes no client now: %s", error)
                    self._stop.wait(RETRY_S)
                continue
            with client:
                try:
                    wire.send(client, self._answer(client), _FRAME_S)
                except (TrainerError, TypeError, ValueError) as error:
                    # It went away, or said what nobody can read; the next one is served.
                    log.warning("a client of the trainer was given up: %s", error)
                except Exception:
                    # The edge of a thread: without it the region would be silent in every round to come.
                    log.exception("a client of the trainer was given up")

    def _answer(self, client: socket.socket) -> wire.Frame:
        request = wire.receive(client, _FRAME_S)
        kind, asked_s = str(request.header.get("kind")), float(request.header.get("timeout_s", self._limit_s))
        try:
            body = self._worker.run(kind, request.body, min(asked_s, self._limit_s))
        except FederationError as error:
            log.warning("the job %r failed: %s", kind, error)
            return wire.Frame({"error": str(error)})
        return wire.Frame({"error": None}, body)


def request(path: Path, kind: str, body: bytes, timeout_s: float) -> bytes:
    """Hands one job to the trainer that listens at `path` and waits for its answer.

    Raises:
        TrainerError: nobody listens, the training failed or did not end within `timeout_s`.
    """
    with wire.connect(path, _FRAME_S) as sock:
        wire.send(sock, wire.Frame({"kind": kind, "timeout_s": timeout_s}, body), _FRAME_S)
        # The server kills a job at its deadline and says so: that answer is worth the moment it takes.
        answer = wire.receive(sock, timeout_s + START_S)
    if answer.header.get("error") is not None:
        raise TrainerError(str(answer.header["error"]))
    return answer.body


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
        self._reading = threading.Lock()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        # A fresh interpreter: a fork would copy the threads' locks of a process that has some.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, self._build, self._nice), name="driftline-trainer", daemon=True
        )
        self._ready, self._started_s = False, time.monotonic()
        self._process.start()
        theirs.close()

    def stop(self) -> None:
        self._stopped = True
        self._end()

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
                # Killed now, it would be as far from ready at the next question.
                if time.monotonic() - self._started_s > START_S:
                    self._restart()
                raise TrainerError(f"the trainer is still starting; the {kind} job was not begun")
            pipe.send_bytes(kind.encode())
            pipe.send_bytes(body)
            if not pipe.poll(max(0.0, deadline_s - time.monotonic())):
                self._restart()
                raise TrainerError(f"the {kind} job was killed: it did not end within {timeout_s:g} s")
            failed, answer = pipe.recv_bytes() == b"failed", pipe.recv_bytes()
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
    """Body of the worker process: builds the handler once, then answers jobs until the node is gone."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is first imported
    os.nice(nice)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    handler: Handler | None = None
    with contextlib.suppress(Exception):  # the first job builds it again and is told what is wrong
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
                # The edge of a process: whatever a training raises is the region's answer to the round.
                log.exception("the %s job failed", kind)
                outcome, answer = b"failed", f"{type(error).__name__}: {error}".encode()
            pipe.send_bytes(outcome)
            pipe.send_bytes(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
