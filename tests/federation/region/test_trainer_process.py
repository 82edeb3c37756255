"""The trainer's process: what a job, its client or its training may do to it, and that the next job runs."""

import functools
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import pytest

from federation.errors import TrainerError
from federation.region import trainer_process
from federation.region.trainer_connection import connect
from federation.region.trainer_process import TrainerServer, request
from tests.support import handlers
from tests.support.fleet import LIMIT_S, until

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("trainer") / "trainer.sock"
    with TrainerServer(path, handlers.misbehaving, limit_s=LIMIT_S, nice=7):
        yield path


def works(path: Path) -> bool:
    return request(path, "reverse", b"abc", LIMIT_S) == b"cba"


def test_a_job_is_answered_by_one_niced_process_with_one_thread(path: Path) -> None:
    pid, nice, threads = request(path, "who", b"", LIMIT_S).decode().split()
    assert int(pid) != os.getpid()
    assert int(nice) == min(19, os.nice(0) + 7)
    assert threads == "1"
    assert request(path, "who", b"", LIMIT_S).decode().split()[0] == pid


def test_a_large_body_goes_through_whole(path: Path) -> None:
    body = os.urandom(8_000_000)
    assert request(path, "reverse", body, LIMIT_S) == body[::-1]


def test_only_this_user_may_connect(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_client_with_a_malformed_job_is_dropped_and_the_next_one_served(path: Path) -> None:
    with connect(path) as channel:
        channel.send({"kind": "reverse", "timeout_s": None})
        with pytest.raises(TrainerError, match="closed the socket"):
            channel.receive(LIMIT_S)
    assert works(path)


def test_a_hung_training_is_killed_at_the_deadline_and_reported(path: Path) -> None:
    assert works(path)
    before = time.monotonic()
    with pytest.raises(TrainerError, match=r"the hang job was killed: it did not end within 0\.3 s"):
        request(path, "hang", b"", 0.3)
    assert time.monotonic() - before < LIMIT_S / 2
    assert works(path)


def test_a_trainer_that_dies_is_reported_and_replaced(path: Path) -> None:
    with pytest.raises(TrainerError, match="the trainer process died in a die job with exit code -9"):
        request(path, "die", b"", LIMIT_S)
    assert works(path)


def test_what_a_training_raises_is_the_answer(path: Path) -> None:
    with pytest.raises(TrainerError, match=r"^no windows to train on$"):
        request(path, "refuse", b"", LIMIT_S)
    with pytest.raises(TrainerError, match=r"^ZeroDivisionError: division by zero$"):
        request(path, "break", b"", LIMIT_S)
    assert works(path)


def test_a_client_that_dies_costs_its_own_job_only(path: Path, tmp_path: Path) -> None:
    done = tmp_path / "done"
    with connect(path) as channel:
        channel.send({"kind": "touch", "timeout_s": LIMIT_S}, str(done).encode())
    assert works(path)  # jobs run one after the other: this one came second
    assert done.exists()


def test_a_client_that_sends_rubbish_costs_nothing(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert works(path)


def test_a_trainer_that_cannot_be_built_says_so_for_every_job(tmp_path: Path) -> None:
    with TrainerServer(tmp_path / "t.sock", handlers.unbuildable, limit_s=LIMIT_S, nice=0):
        for _ in range(2):
            with pytest.raises(TrainerError, match="the training store is damaged"):
                request(tmp_path / "t.sock", "train", b"", LIMIT_S)


def test_a_trainer_that_is_still_starting_is_not_killed_for_it(tmp_path: Path) -> None:
    build = functools.partial(handlers.late, tmp_path / "go")
    with TrainerServer(tmp_path / "t.sock", build, limit_s=LIMIT_S, nice=0) as s:
        pid = s.worker_pid
        with pytest.raises(TrainerError, match="the trainer is still starting; the hello job was not started"):
            request(tmp_path / "t.sock", "hello", b"", 0.2)
        assert not s.ready
        (tmp_path / "go").touch()
        assert request(tmp_path / "t.sock", "hello", b"", LIMIT_S) == b"built"
        assert s.ready
        assert s.worker_pid == pid


def test_stopping_ends_the_worker_also_in_the_middle_of_a_job(tmp_path: Path) -> None:
    path = tmp_path / "t.sock"
    server = TrainerServer(path, handlers.misbehaving, limit_s=LIMIT_S, nice=0).start()
    assert works(path)
    pid = server.worker_pid
    assert pid is not None
    failed: list[str] = []
    started = tmp_path / "started"

    def hang() -> None:
        try:
            request(path, "hang", str(started).encode(), LIMIT_S)
        except TrainerError as error:
            failed.append(str(error))

    client = threading.Thread(target=hang)
    client.start()
    until("the job is under way", started.exists)
    server.stop()
    client.join(LIMIT_S)
    assert failed
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
    with pytest.raises(TrainerError, match="no trainer listens"):
        request(path, "reverse", b"", 1)


def test_whatever_breaks_in_the_server_costs_one_client_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with TrainerServer(tmp_path / "t.sock", handlers.misbehaving, limit_s=LIMIT_S, nice=0) as server:
        assert works(tmp_path / "t.sock")
        run, faults = server._worker.run, [OSError(12, "Cannot allocate memory"), MemoryError()]

        def flaky(kind: str, body: bytes, timeout_s: float) -> bytes:
            if faults:
                raise faults.pop()
            return run(kind, body, timeout_s)

        monkeypatch.setattr(server._worker, "run", flaky)
        for _ in range(2):
            with pytest.raises(TrainerError, match="closed the socket"):
                request(tmp_path / "t.sock", "train", b"", LIMIT_S)
        assert works(tmp_path / "t.sock")
    assert "Cannot allocate memory" in caplog.text


def test_a_server_without_file_descriptors_listens_again_when_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trainer_process, "RETRY_S", 0.01)
    with TrainerServer(tmp_path / "t.sock", handlers.misbehaving, limit_s=LIMIT_S, nice=0) as server:
        listener, faults = server._listener, [OSError(24, "Too many open files")] * 3
        assert listener is not None

        class Flaky:
            def accept(self) -> Any:
                if faults:
                    raise faults.pop()
                return listener.accept()

            def close(self) -> None:
                listener.close()

        monkeypatch.setattr(server, "_listener", Flaky())
        until("the faults have come", lambda: not faults)
        assert works(tmp_path / "t.sock")
    assert caplog.text.count("Too many open files") == 3


def test_a_worker_is_replaced_after_its_last_job_and_not_before_its_first(tmp_path: Path) -> None:
    path = tmp_path / "t.sock"
    with TrainerServer(path, handlers.misbehaving, limit_s=LIMIT_S, nice=0, rest_s=0.0) as server:
        first = server.worker_pid
        until("the worker is ready", lambda: server.ready)
        assert server.worker_pid == first
        assert int(request(path, "who", b"", LIMIT_S).split()[0]) == first
        until("the worker is another one", lambda: server.worker_pid not in (first, None))
        assert works(path)


def test_a_worker_that_cannot_be_replaced_costs_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, faults = tmp_path / "t.sock", [OSError(12, "Cannot allocate memory")]
    with TrainerServer(path, handlers.misbehaving, limit_s=LIMIT_S, nice=0, rest_s=0.0) as server:
        assert works(path)
        start = SpawnProcess.start

        def flaky(process: SpawnProcess) -> None:
            if faults:
                raise faults.pop()
            start(process)

        monkeypatch.setattr(SpawnProcess, "start", flaky)
        until("the replacement has failed", lambda: not faults)
        assert works(path)
        assert server.worker_pid is not None
    assert "Cannot allocate memory" in caplog.text
