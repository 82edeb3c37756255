"""Scenario serve-predict: how fast the API classifies lines over HTTP, next to the same model behind plain FastAPI."""

import http.client
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.workloads import lines_of, write_workload
from bench.harness import BenchError, Outcome, Run, Scenario, Target
from bench.processes.running import running
from connectors.ports import free_port
from connectors.sql_settings import SqlSettings
from engine.api.services import Services
from engine.api.settings import ServeSettings
from engine.corpus.catalogue import SEVEN_CLASS
from engine.corpus.data import DataError, find
from engine.offline.labelled_lines import CORRECTED, read_labelled
from models.classify.base import Lines
from models.classify.registry import build
from models.storage.store import ModelStore
from models.text.embeddings import embedding_cache
from models.train_classifier import ClassifierTrainSettings, LabelledLines, train_classifier

START_S = 120.0
BOUNDARY = "driftline-bench"
WARM_LINES = 50_000
CHUNK_BYTES = 1 << 20


def serve_predict(run: Run) -> Outcome:
    """Median of `POST /api/predict` with 1,000 lines, and lines/s of an uploaded log, in one process of the service.

    The log is HDFS with fresh block ids. The service classifies its first lines once before. The client is this
    process, on the other core.
    """
    classifier, lines = run.setting("classifier", "xgboost"), run.setting("lines", 400_000)
    size, repeats = run.setting("request_lines", 1_000), run.setting("repeats", 31)
    uploads, plain = run.setting("uploads", 3), run.setting("plain_requests", 2)
    log = write_workload(lines, seed=run.setting("seed", 0)).paths[0]
    head = [line for block in lines_of(log) for line in block][:WARM_LINES]
    asked = [head[i].decode() for i in np.random.default_rng(0).choice(len(head), size, replace=False)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _train(run, folder, classifier)
        with service(folder) as (port, token):
            _upload(port, token, b"\n".join(head) + b"\n")
            predict = {"logs": asked, "model_type": "ml"}
            times = [_post(port, token, "/api/predict", predict)[0] for _ in range(repeats + 3)][3:]
            answer = _post(port, token, "/api/predict", predict)[1]
            content = log.read_bytes()
            rates = [lines / _upload(port, token, content) for _ in range(uploads)]
        used = json.loads(answer)["model_used"]
        if not used.startswith(classifier):
            raise BenchError(f"{used} answered, not {classifier}")
        run.progress("plain FastAPI", 0, plain)
        peer = _plain(folder, classifier, asked, plain)
    metrics = {"predict_ms": 1e3 * statistics.median(times), "batch_lines_per_s": statistics.median(rates)}
    return Outcome(metrics, peers={"plain FastAPI": peer}, detail={"answer_bytes_per_line": len(answer) / size})


def _plain(folder: Path, classifier: str, asked: Sequence[str], requests: int) -> dict[str, float]:
    """Median time of a request of the peer, and its lines/s."""
    port = free_port()
    command = [sys.executable, "-m", "bench.peers.plain_classify_api", str(folder / "models"), classifier, str(port)]
    with _process(command, folder, port):
        times = [_post(port, "", "/predict", {"logs": asked})[0] for _ in range(requests)]
    took_s = statistics.median(times)
    return {"predict_ms": 1e3 * took_s, "batch_lines_per_s": len(asked) / took_s}


def _train(run: Run, folder: Path, classifier: str) -> None:
    """Publish the classifier, trained on the seven-class set, or on made-up lines where it is not at hand."""
    try:
        (path,) = find(SEVEN_CLASS.name).values()
        data = read_labelled(path, CORRECTED)
        run.settings["trained_on"] = SEVEN_CLASS.name
    except DataError:
        texts = [f"{what} of unit {'abcdefgh'[n % 8]} at {n}" for n in range(64) for what in ("start", "disk failure")]
        data = LabelledLines.of(Lines.of(texts), np.tile([0, 6], 64))
        run.settings["trained_on"] = "made-up lines"
    settings = ClassifierTrainSettings(
        classifier=classifier, settings={"candidates": 0, "encoder": run.setting("encoder", "minilm")}
    )
    store = ModelStore(folder / "models")
    train_classifier(data, settings, store=store, name=classifier, cache=embedding_cache())
    build(classifier).prepare()


@contextmanager
def service(folder: Path) -> Iterator[tuple[int, str]]:
    """`driftline serve`, and a token for it."""
    port = free_port()
    store = SqlSettings.model_validate({"url": f"sqlite:///{folder}/alerts.db"})
    services = Services.from_settings(ServeSettings(store=store))
    try:
        services.accounts.create("bench", "admin", "correct horse battery")
        _, caller = services.accounts.log_in("bench", "correct horse battery")
        _, token, _ = services.accounts.make_token(caller, "bench", "viewer", 1)
    finally:
        services.database.close()
    text = f'models = "{folder}/models"\n[listen]\nport = {port}\n[store]\nurl = "sqlite:///{folder}/alerts.db"\n'
    (folder / "serve.toml").write_text(text, "utf-8")
    with _process([sys.executable, "-m", "engine.cli", "serve", "serve.toml"], folder, port):
        yield port, token


@contextmanager
def _process(command: Sequence[str], folder: Path, port: int) -> Iterator[None]:
    """A server, once its port answers."""
    log = folder / "server.log"
    with running(command, log) as process:
        end_s = time.monotonic() + START_S
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > end_s:
                raise BenchError(f"the server did not start: {log.read_text()[-500:]}")
            time.sleep(0.1)
        yield


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _upload(port: int, token: str, content: bytes) -> float:
    """Seconds from the start of an upload to the end of its answer."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="app.log"\r\n\r\n'.encode()
    body = head + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return _sent(port, token, "/api/predict-batch", body, kind)[0]


def _post(port: int, token: str, path: str, content: Any) -> tuple[float, bytes]:
    """Seconds that a request took, and its answer."""
    return _sent(port, token, path, json.dumps(content).encode(), "application/json")


def _sent(port: int, token: str, path: str, body: bytes, kind: str) -> tuple[float, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    headers = {"Content-Type": kind, **({"Authorization": f"Bearer {token}"} if token else {})}
    started = time.perf_counter()
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    parts = list(iter(lambda: answer.read(CHUNK_BYTES), b""))
    took_s = time.perf_counter() - started
    connection.close()
    if answer.status != 200:
        raise BenchError(f"{path} answered {answer.status}: {parts[0][:300].decode('utf-8', 'replace')}")
    return took_s, b"".join(parts)


SERVE_PREDICT = Scenario(
    "serve-predict",
    "Classification over HTTP by driftline serve: time of 1,000 lines, and lines/s of an uploaded HDFS log",
    serve_predict,
    {
        "predict_ms": Target(better="lower", goal=50, tolerance=0.3),
        "batch_lines_per_s": Target(goal=100_000, tolerance=0.2),
    },
)
