"""`driftline serve` is killed while a job runs: the job after the restarts, and another one."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from connectors.ports import free_port
from engine.api.auth import CSRF_HEADER
from models.storage.store import ModelStore
from tests.engine.api.conftest import PASSWORD
from tests.engine.api.test_jobs import ENDLESS, FOREST, LINES, process_of, training  # noqa: F401
from tests.engine.api.test_region import REGION
from tests.support.processes import has_ended, until


@contextmanager
def served(settings):
    """The service as a process, once it has printed that it listens; its output so far."""
    command = [sys.executable, "-m", "engine.cli", "serve", str(settings)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        output = ""
        while "http://" not in output:
            line = process.stdout.readline()
            assert line, f"the service ended: {output}"
            output += line
        yield process, output
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def settings(tmp_path, training):  # noqa: F811
    region, serve = tmp_path / "region.toml", tmp_path / "serve.toml"
    region.write_text(REGION.format(folder=tmp_path).replace("bert_cnn", "floor"), "utf-8")
    listen, jobs = f"[listen]\nport = {free_port()}\n", f'[jobs]\npath = "{tmp_path}/jobs"\n'
    serve.write_text(f'region = "{region}"\n{listen}{jobs}', "utf-8")
    return serve


@pytest.mark.process
@pytest.mark.timeout(600)
def test_a_job_of_a_killed_service_runs_again_once_and_can_be_repeated(settings, tmp_path):
    port = int(re.search(r"port = (\d+)", settings.read_text())[1])
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)

    def job(*states, stage=""):
        def look():
            found = client.get(f"/api/v1/jobs/{made['id']}").json()["job"]
            return found if found["state"] in states and found["stage"].startswith(stage) else None

        return until(look, f"the job is {' or '.join(states)}")

    def kill_while_it_trains(service):
        job("running", stage="train")
        worker = process_of(tmp_path / "jobs" / made["id"])
        service.send_signal(signal.SIGKILL)
        service.wait()
        until(lambda: has_ended(worker), "the job ends with its service, also with a killed one")

    with client:
        with served(settings) as (service, output):
            while "#/setup/" not in output:
                output += service.stdout.readline()
            account = {"token": re.search(r"#/setup/(\S+)", output)[1], "name": "ann", "password": PASSWORD}
            client.headers[CSRF_HEADER] = client.post("/api/v1/setup", json=account).json()["csrf_token"]
            fields = {"detector": "bert_cnn", "settings": ENDLESS}
            made = client.post("/api/v1/jobs", data=fields).json()
            kill_while_it_trains(service)
        with served(settings) as (service, _):
            kill_while_it_trains(service)
        with served(settings) as (service, _):
            failed = job("failed", "done", "cancelled")
            assert failed["sentence"] == "the service ended while the job ran, as it did at the first attempt"
            assert failed["state"] == "failed"
            assert failed["ended"] is not None
            assert ModelStore(tmp_path / "store").versions("bert_cnn") == []
            again = {"detector": "random_forest", "settings": FOREST}
            made = client.post("/api/v1/jobs", data=again, files={"data": ("lines.csv", LINES.encode())}).json()
            assert job("done", "failed", "cancelled")["state"] == "done"
            service.send_signal(signal.SIGTERM)
            assert service.wait(timeout=60) == 0
