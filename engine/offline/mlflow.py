"""Training runs logged to an MLflow tracking server, over its REST API.

The API is MLflow's public one, version 2.0 (https://mlflow.org/docs/latest/rest-api.html), spoken
with the standard library: MLflow's own client cannot be installed next to Drain3, which pins a
release of cachetools that the client does not take.
"""

import base64
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.offline.evaluation_report import EvaluationError
from engine.offline.run_log import RunFolder, RunLog, TrainingRun

EXPERIMENT = "driftline"
TIMEOUT_S = 20.0
_BATCH = {"metrics": 1000, "params": 100}
"""What one log-batch request takes at most, by MLflow's documentation."""


def open_run_log(folder: Path, tracking_uri: str | None = None) -> RunLog:
    """MLflow where its address is given, else folders of JSON.

    Raises:
        EvaluationError: the address is none of an MLflow server.
    """
    return RunFolder(folder) if tracking_uri is None else MlflowServer(tracking_uri)


class MlflowServer:
    """Runs on an MLflow server; a `RunLog`. Every run goes to the experiment `driftline`."""

    def __init__(self, uri: str) -> None:
        """Checks nothing yet.

        Args:
            uri: `http://host:port` or https, with `user:password@` if the server requires it; the
                password is never part of a message.

        Raises:
            EvaluationError: it is another kind of address.
        """
        try:
            parts = urllib.parse.urlsplit(uri)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urllib.parse.urlsplit(""), None, None
        if parts.scheme not in ("http", "https") or not host:
            shown = uri if "@" not in uri else "what was given"
            raise EvaluationError(
                f"--tracking-uri {shown} is not the address of an MLflow server, such as http://127.0.0.1:5000"
            )
        shown_host = f"[{host}]" if ":" in host else host
        self._url = f"{parts.scheme}://{shown_host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
        self._headers: dict[str, str] = {}
        if parts.username is not None:
            pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._experiment = ""

    def check(self) -> None:
        """See `RunLog.check`. Makes the experiment if absent."""
        found = self._call("GET", "experiments/get-by-name", {"experiment_name": EXPERIMENT}, missing_is_none=True)
        if found is None:
            self._experiment = str(self._call("POST", "experiments/create", {"name": EXPERIMENT})["experiment_id"])
            return
        experiment = found["experiment"]
        if experiment.get("lifecycle_stage") == "deleted":
            raise EvaluationError(f"the experiment {EXPERIMENT} on {self._url} was deleted; restore it there")
        self._experiment = str(experiment["experiment_id"])

    def record(self, run: TrainingRun, files: Mapping[str, bytes]) -> str:
        """See `RunLog.record`. A run that breaks off is marked as failed."""
        if not self._experiment:
            self.check()
        started_ms = int(run.started_at.timestamp() * 1000)
        tags = [{"key": k, "value": v} for k, v in {"mlflow.runName": run.id, **run.lineage()}.items()]
        body = {"experiment_id": self._experiment, "run_name": run.id, "start_time": started_ms, "tags": tags}
        info = self._call("POST", "runs/create", body)["run"]["info"]
        ended_ms = started_ms + int(run.train_s * 1000)
        state = "FAILED"
        try:
            self._log(run, info["run_id"], started_ms, ended_ms)
            content = {**files, "run.json": run.model_dump_json(indent=1).encode()}
            for name, data in content.items():
                self._upload(info.get("artifact_uri", ""), name, data)
            state = "FINISHED"
        finally:
            self._call("POST", "runs/update", {"run_id": info["run_id"], "status": state, "end_time": ended_ms})
        return f"{self._url}/#/experiments/{self._experiment}/runs/{info['run_id']}"

    def _log(self, run: TrainingRun, run_id: str, started_ms: int, ended_ms: int) -> None:
        metrics = [
            {"key": name, "value": value, "timestamp": started_ms, "step": epoch}
            for epoch, figures in enumerate(run.history)
            for name, value in figures.items()
        ]
        last = run.results().items()
        metrics += [{"key": name, "value": value, "timestamp": ended_ms, "step": 0} for name, value in last]
        # JSON has no NaN and no infinity, and MLflow's database takes neither.
        metrics = [m for m in metrics if isinstance(m["value"], int | float) and math.isfinite(m["value"])]
        params = [{"key": name, "value": value[:6000]} for name, value in run.parameters().items()]
        for kind, rows in (("metrics", metrics), ("params", params)):
            for start in range(0, len(rows), _BATCH[kind]):
                self._call("POST", "runs/log-batch", {"run_id": run_id, kind: rows[start : start + _BATCH[kind]]})

    def _upload(self, artifact_uri: str, name: str, data: bytes) -> None:
        """Sends a file where the server keeps files itself; elsewhere it would need the store's own client."""
        scheme, _, path = artifact_uri.partition(":")
        if scheme == "mlflow-artifacts":
            # Without a host in it the address means the tracking server itself.
            place = urllib.parse.quote(urllib.parse.urlsplit(f"x:{path}").path.lstrip("/"))
            self._request("PUT", f"mlflow-artifacts/artifacts/{place}/{name}", data, "application/octet-stream")

    def _call(self, method: str, path: str, body: Mapping[str, Any], *, missing_is_none: bool = False) -> Any:
        if method == "GET":
            raw = self._request(method, f"mlflow/{path}?{urllib.parse.urlencode(body)}", None, "", missing_is_none)
        else:
            raw = self._request(method, f"mlflow/{path}", json.dumps(body).encode(), "application/json")
        if raw is None:
            return None
        try:
            return json.loads(raw)
        except ValueError as error:
            raise EvaluationError(f"{self._url} does not answer as an MLflow server does: {raw[:80]!r}") from error

    def _request(
        self, method: str, path: str, data: bytes | None, content_type: str, missing_is_none: bool = False
    ) -> bytes | None:
        headers = self._headers | ({"Content-Type": content_type} if content_type else {})
        request = urllib.request.Request(f"{self._url}/api/2.0/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                return bytes(response.read())
        except urllib.error.HTTPError as error:
            with error:
                said = error.read()
            if missing_is_none and error.code == 404 and b"RESOURCE_DOES_NOT_EXIST" in said:
                return None
            raise EvaluationError(
                f"the MLflow server {self._url} refused {path}: {_words(error.code, said)}"
            ) from error
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise EvaluationError(f"the MLflow server {self._url} cannot be reached: {reason}") from error


def _words(status: int, said: bytes) -> str:
    try:
        return f"{status}, {json.loads(said)['message'].splitlines()[0]}"
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return f"status {status}"
