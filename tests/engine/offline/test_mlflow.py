"""The MLflow client against a small server that speaks the same part of the API."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from engine.offline.evaluation_report import EvaluationError
from engine.offline.mlflow import MlflowServer, open_run_log
from engine.offline.run_log import RunFolder


class Server(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.experiments = {}
        self.calls = []
        self.artifacts = {}
        self.refuse = {}
        self.artifact_root = "mlflow-artifacts:/{0}/r1/artifacts"

    @property
    def uri(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def _answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def _body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _handle(self):
        server, raw = self.server, self._body()
        parts = urlsplit(self.path)
        name = parts.path.removeprefix("/api/2.0/mlflow/")
        for prefix, answer in server.refuse.items():
            if name.startswith(prefix):
                return self._answer(*answer)
        if self.command == "PUT":
            server.artifacts[parts.path] = raw
            return self._answer(200, {})
        if self.command == "GET":
            wanted = parse_qs(parts.query)["experiment_name"][0]
            if wanted not in server.experiments:
                return self._answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"})
            return self._answer(200, {"experiment": {"experiment_id": server.experiments[wanted]}})
        body = json.loads(raw)
        server.calls.append((name, body, self.headers.get("Authorization")))
        if name == "experiments/create":
            server.experiments[body["name"]] = "7"
            return self._answer(200, {"experiment_id": "7"})
        if name == "runs/create":
            uri = server.artifact_root.format(body["experiment_id"])
            return self._answer(200, {"run": {"info": {"run_id": "r1", "artifact_uri": uri}}})
        return self._answer(200, {})

    do_GET = do_POST = do_PUT = _handle

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def calls(server, name):
    return [body for called, body, _ in server.calls if called == name]


def test_a_run_is_logged_with_curves_figures_and_files(server, run):
    log = MlflowServer(server.uri)
    log.check()
    where = log.record(run(metrics={"validation": {"f1": 0.5, "odd": float("nan")}}), {"curves.png": b"png"})
    assert where == f"{server.uri}/#/experiments/7/runs/r1"
    (created,) = calls(server, "runs/create")
    assert created["run_name"] == run().id
    assert {"key": "version", "value": "2"} in created["tags"]
    metrics = [m for body in calls(server, "runs/log-batch") for m in body.get("metrics", [])]
    assert [(m["step"], m["value"]) for m in metrics if m["key"] == "val_f1"] == [(0, 0.1), (1, 0.5)]
    assert {m["key"] for m in metrics} == {"loss", "val_f1", "validation.f1", "threshold", "train_s"}
    params = [p for body in calls(server, "runs/log-batch") for p in body.get("params", [])]
    assert {"key": "training.epochs", "value": "3"} in params
    assert calls(server, "runs/update") == [{"run_id": "r1", "status": "FINISHED", "end_time": 1714521601500}]
    base = "/api/2.0/mlflow-artifacts/artifacts/7/r1/artifacts/"
    assert set(server.artifacts) == {base + "curves.png", base + "run.json"}


def test_the_experiment_is_made_once(server, run):
    for _ in range(2):
        MlflowServer(server.uri).record(run(), {})
    assert len(calls(server, "experiments/create")) == 1


def test_long_histories_go_in_batches(server, run):
    history = tuple({"loss": float(i), "val_loss": 1.0} for i in range(1200))
    MlflowServer(server.uri).record(run(history=history), {})
    sizes = [len(body["metrics"]) for body in calls(server, "runs/log-batch") if "metrics" in body]
    assert sizes == [1000, 1000, 403]


def test_files_stay_where_the_server_does_not_keep_them(server, run):
    server.artifact_root = "s3://bucket/{0}"
    MlflowServer(server.uri).record(run(), {"curves.png": b"png"})
    assert server.artifacts == {}
    assert calls(server, "runs/update")[0]["status"] == "FINISHED"


def test_a_run_that_breaks_off_is_marked_as_failed(server, run):
    server.refuse["runs/log-batch"] = (400, {"message": "too long\nmore"})
    with pytest.raises(EvaluationError, match=r"refused mlflow/runs/log-batch: 400, too long$"):
        MlflowServer(server.uri).record(run(), {})
    assert calls(server, "runs/update")[0]["status"] == "FAILED"


def test_user_and_password_are_sent_and_never_told(server, run):
    uri = server.uri.replace("://", "://me:s%40crt@")
    log = MlflowServer(uri)
    assert "crt" not in log.record(run(), {})
    assert {auth for _, _, auth in server.calls} == {"Basic bWU6c0BjcnQ="}
    server.refuse["experiments"] = (401, b"who are you?")
    with pytest.raises(EvaluationError, match="status 401") as caught:
        MlflowServer(uri).check()
    assert "crt" not in str(caught.value)


def test_an_experiment_that_was_deleted_is_told(server):
    server.refuse["experiments"] = (200, {"experiment": {"experiment_id": "7", "lifecycle_stage": "deleted"}})
    with pytest.raises(EvaluationError, match="was deleted; restore it there"):
        MlflowServer(server.uri).check()


def test_another_server_is_told_apart(server):
    server.refuse["experiments"] = (200, b"<html>")
    with pytest.raises(EvaluationError, match="does not answer as an MLflow server does"):
        MlflowServer(server.uri).check()


def test_nobody_there_is_told():
    with pytest.raises(EvaluationError, match="cannot be reached"):
        MlflowServer("http://127.0.0.1:9").check()


@pytest.mark.parametrize("uri", ["mlruns", "ftp://host", "http://", "http://host:port", "http://u:secret@host:port"])
def test_addresses_that_are_none(uri):
    with pytest.raises(EvaluationError, match="is not the address of an MLflow server, such as ") as caught:
        MlflowServer(uri)
    assert "secret" not in str(caught.value)


def test_without_an_address_runs_are_folders(tmp_path: Path):
    assert isinstance(open_run_log(tmp_path), RunFolder)
    assert isinstance(open_run_log(tmp_path, "https://mlflow.example"), MlflowServer)
