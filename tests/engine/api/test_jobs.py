"""Jobs: what may be asked for, and trainings in processes that fail, are killed, or outlive their service."""

import asyncio
import contextlib
import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest

from connectors.base import SinkUnavailableError
from connectors.sql_schema import JOBS
from engine.api.job_runner import JobRunner, delete_old_jobs, resident_bytes
from engine.api.settings import ServeSettings
from engine.settings import load
from engine.steps.preprocessing import described
from federation.storage.answers import AnswerStore
from federation.storage.training_store import Label, TrainingSettings
from models.base import Windows
from models.storage.store import ModelStore
from tests.engine.api.conftest import at
from tests.engine.api.test_questions import BROKEN, TEXTS, USUAL
from tests.engine.api.test_region import REGION

LINES = "message,class\n" + "".join(
    f"disk {n} broken,hardware_issue\nuser {n} came,normal\n" for n in ("one", "two", "three", "four", "five", "six")
)
FOREST = json.dumps({"encoder": "hashing:16", "candidates": 0, "trees": 20})
ENDLESS = json.dumps(
    {"encoder": "hashing:16", "training": {"epochs": 1_000_000, "patience": 1_000_000, "max_steps": 1_000_000_000}}
)
PATIENCE_S = 120


@pytest.fixture
def serve_settings(tmp_path):
    path = tmp_path / "region.toml"
    path.write_text(REGION.format(folder=tmp_path).replace("bert_cnn", "floor"), "utf-8")
    return ServeSettings(region=path, jobs={"path": str(tmp_path / "jobs"), "waiting": 3})


@pytest.fixture
def training(tmp_path, clock):
    path = tmp_path / "training.db"
    with AnswerStore(path, TrainingSettings(path=path), now_ns=clock.wall_ns) as store:
        rows = [USUAL] * 200 + [BROKEN] * 60
        names = [f"k{i}" for i in range(len(rows))]
        store.add(
            Windows.of(rows), keys=names, ids=names, time_ns=np.arange(len(rows), dtype=np.int64),
            scores=np.zeros(len(rows), np.float32), templates=TEXTS,
        )  # fmt: skip
        store.label(Label(name, row is BROKEN, "feedback", 1) for name, row in zip(names, rows, strict=True))
        yield store


def start(client, data: str = "", name: str = "lines.csv", **fields):
    files = {"data": (name, data.encode())} if data else None
    return client.post("/api/v1/jobs", data=fields, files=files)


def job(client, identity):
    return client.get(f"/api/v1/jobs/{identity}").json()["job"]


@contextlib.asynccontextmanager
async def running(services):
    """The runner of a service, as long as the block lasts."""
    task = asyncio.create_task(JobRunner(services).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(client, identity, *states, stage=""):
    """A job in one of these states, and at that stage."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await asyncio.to_thread(job, client, identity)
            if found["state"] in states and found["stage"].startswith(stage):
                return found
            await asyncio.sleep(0.1)


def process_of(folder: Path) -> int:
    """The process that works on a job."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str(folder).encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                return int(entry.name)
    raise AssertionError(f"no process works on {folder}")


def test_only_administrators_start_and_cancel_jobs(clients):
    for role, status in (("viewer", 403), ("operator", 403), ("admin", 202)):
        assert start(clients[role], LINES, detector="random_forest").status_code == status
    (waiting,) = clients["viewer"].get("/api/v1/jobs").json()["items"]
    assert (waiting["state"], waiting["source"], waiting["model"]) == ("waiting", "lines.csv", "random_forest")
    for role, status in (("operator", 403), ("admin", 200), ("admin", 409)):
        assert clients[role].post(f"/api/v1/jobs/{waiting['id']}/cancel").status_code == status
    ended = job(clients["viewer"], waiting["id"])
    assert ended["state"] == "cancelled"
    assert ended["sentence"].startswith("cancelled by admin")
    actions = [e["action"] for e in clients["admin"].get("/api/v1/audit").json()["items"]]
    assert actions[:2] == ["job.cancelled", "job.created"]


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"detector": "random_forrest"}, 422, "is none of"),
        ({"detector": "random_forest", "model": "bert_cnn"}, 409, "belongs to bert_cnn"),
        ({"detector": "random_forest", "model": "../x"}, 409, "cannot be the name of a model"),
        ({"detector": "random_forest", "threshold": "magic"}, 422, "is none of auto"),
        ({"detector": "random_forest", "settings": "[1]"}, 422, "expected a JSON object"),
        ({"detector": "random_forest", "settings": "{"}, 422, "not JSON"),
        ({"detector": "rules", "settings": '{"file": "/etc/passwd"}'}, 422, "cannot be named"),
        ({"kind": "recalibrate", "model": "floor"}, 404, "'floor' does not exist"),
        ({"detector": "random_forest", "first": "0"}, 422, "first"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once(log_in, tmp_path, fields, status, words):
    answer = start(log_in("admin"), LINES, **fields)
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert not list(tmp_path.glob("jobs/*"))


def test_a_full_queue_refuses_and_old_jobs_are_deleted(log_in, services, clock, tmp_path):
    admin = log_in("admin")
    made = [start(admin, LINES, "../../a b.csv.gz", detector="random_forest") for _ in range(4)]
    assert [answer.status_code for answer in made] == [202, 202, 202, 429]
    assert len(list((tmp_path / "jobs").iterdir())) == 3
    first = made[0].json()
    assert first["source"] == "a_b.csv.gz"
    assert admin.get("/api/v1/jobs", params={"limit": 2}).json()["next_cursor"]
    admin.post(f"/api/v1/jobs/{first['id']}/cancel")
    assert not (tmp_path / "jobs" / first["id"] / "data").exists()
    assert delete_old_jobs(services, at(clock.now_s + 1)) == 1
    assert admin.get(f"/api/v1/jobs/{first['id']}").status_code == 404
    assert len(list((tmp_path / "jobs").iterdir())) == 2


def test_choices_name_the_regions_model(log_in):
    found = log_in("viewer").get("/api/v1/jobs/choices").json()
    assert (found["training_store"], found["model"]) == (True, "floor")
    assert "bert_cnn" in found["detectors"]
    assert "xgboost" in found["classifiers"]
    assert "best_f1" in found["thresholds"]


def test_a_database_that_fails_does_not_keep_the_service_from_ending(services, monkeypatch, caplog):
    """The end of the service reaches the runner, which first gives its job back."""
    runner, started = JobRunner(services), []

    async def process(row):
        command = "sleep", "60"
        started.append(await asyncio.create_subprocess_exec(*command, stdout=-1, start_new_session=True))
        return started[0]

    def broken(*_, **__):
        raise SinkUnavailableError("no database")

    monkeypatch.setattr(runner, "_take", lambda: {"id": "x", "attempts": 1})
    monkeypatch.setattr(runner, "_start", process)
    monkeypatch.setattr("engine.api.job_runner.change_job", broken)

    async def stopped():
        task = asyncio.create_task(runner.run())
        while not started:
            await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(stopped())
    assert started[0].returncode == -signal.SIGKILL
    assert "no database" in caplog.text


def test_an_error_about_one_job_fails_it_and_the_next_one_is_taken(log_in, services, monkeypatch, caplog):
    admin = log_in("admin")
    made = [start(admin, LINES, detector="random_forest").json()["id"] for _ in range(2)]
    with services.database.write() as connection:  # as a program of another version would have left it
        connection.execute(JOBS.update().where(JOBS.c.id == made[0]).values(state="running", request='{"kind": 1}'))

    async def broken(*_):
        raise ValueError("odd event")

    monkeypatch.setattr(JobRunner, "_start", broken)

    async def ended():
        async with running(services):
            return [await until(admin, identity, "failed") for identity in made]

    sentence = "it cannot be followed: ValueError: odd event"
    assert [found["sentence"] for found in asyncio.run(ended())] == [sentence] * 2
    assert "kind" in caplog.text, "the request that cannot be read is in the log"


def test_a_job_that_was_to_be_cancelled_when_its_service_was_killed_is_cancelled(log_in, services):
    admin = log_in("admin")
    made = start(admin, LINES, detector="random_forest").json()["id"]
    with services.database.write() as connection:  # as the killed service left it
        connection.execute(JOBS.update().where(JOBS.c.id == made).values(state="running", attempts=1))
    assert admin.post(f"/api/v1/jobs/{made}/cancel").status_code == 200

    async def ended():
        async with running(services):
            return await until(admin, made, "cancelled", "failed", "done")

    found = asyncio.run(ended())
    assert found["state"] == "cancelled"
    assert re.fullmatch(r"cancelled by admin\d+", found["sentence"])


def test_memory_of_a_process_is_read():
    assert resident_bytes(os.getpid()) > 1_000_000
    assert resident_bytes(1 << 22) == 0


@pytest.mark.process
def test_uploaded_lines_become_a_version_with_a_report(log_in, services, tmp_path):
    admin = log_in("admin")
    made = start(admin, LINES, detector="random_forest", settings=FOREST).json()

    async def train():
        async with running(services):
            return await until(admin, made["id"], "done", "failed")

    ended = asyncio.run(train())
    assert (ended["state"], ended["version"]) == ("done", 1), ended
    detail = admin.get(f"/api/v1/jobs/{made['id']}").json()
    assert detail["report"]["data"]["job"] == made["id"]
    assert detail["report"]["metrics"]["validation"]["macro_f1"] >= 0
    assert "published random_forest version 1" in admin.get(f"/api/v1/jobs/{made['id']}/log").text
    assert ModelStore(tmp_path / "store").current("random_forest") == 1
    assert not (tmp_path / "jobs" / made["id"] / "data").exists(), "uploaded lines are not kept"
    entry = admin.get("/api/v1/audit").json()["items"][0]
    assert (entry["action"], entry["subject"], entry["detail"]["version"]) == ("model.train", "random_forest", 1)
    with admin.stream("GET", f"/api/v1/jobs/{made['id']}/stream") as stream:
        data = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    assert [found["state"] for found in data] == ["done"]
    again = {"Last-Event-ID": str(ended["revision"])}
    with admin.stream("GET", f"/api/v1/jobs/{made['id']}/stream", headers=again) as stream:
        assert not [line for line in stream.iter_lines() if line.startswith("data: ")]
    assert admin.post(f"/api/v1/jobs/{made['id']}/cancel").status_code == 409


@pytest.mark.process
def test_stored_windows_are_learnt_and_the_threshold_is_fitted_again(log_in, services, training, tmp_path):
    admin = log_in("admin")
    asked = [
        {"detector": "event_counts", "model": "floor"},
        {"kind": "recalibrate", "model": "floor", "threshold": "best_f1"},
        {"detector": "bert_cnn", "data": "started\n" * 3, "name": "app.log"},
    ]

    async def train():
        async with running(services):
            ids = (start(admin, **fields).json()["id"] for fields in asked)
            return [await until(admin, made, "done", "failed") for made in ids]

    trained, refitted, failed = asyncio.run(train())
    assert (trained["version"], refitted["version"]) == (1, 2), (trained, refitted)
    report = admin.get(f"/api/v1/jobs/{trained['id']}").json()["report"]
    assert report["metrics"]["held out in the store"]["f1"] == 1.0
    assert report["before"] == {}
    store = ModelStore(tmp_path / "store")
    assert set(store.card("floor", 1).labels) == {"feedback"}
    region = load(services.settings.region)
    assert store.card("floor", 1).preprocessing == described(region.parse, region.window)
    assert (store.card("floor", 2).threshold.rule, store.card("floor", 2).data["recalibrated_from"]) == ("best_f1", 1)
    assert failed["state"] == "failed"
    assert "label" in failed["sentence"]


@pytest.mark.process
def test_killed_cancelled_and_limited_jobs_end_and_the_next_one_runs(log_in, services, training, tmp_path):
    admin = log_in("admin")

    async def endless():
        made = start(admin, detector="bert_cnn", settings=ENDLESS).json()
        return (await until(admin, made["id"], "running", stage="train"))["id"]

    async def all_of_them():
        async with running(services):
            killed = await endless()
            os.kill(process_of(tmp_path / "jobs" / killed), signal.SIGKILL)
            yield await until(admin, killed, "failed", "done")
            cancelled = await endless()
            admin.post(f"/api/v1/jobs/{cancelled}/cancel")
            yield await until(admin, cancelled, "failed", "cancelled", "done")
            made = start(admin, LINES, detector="random_forest", settings=FOREST).json()
            yield await until(admin, made["id"], "done", "failed")

    async def collected():
        return [found async for found in all_of_them()]

    killed, cancelled, done = asyncio.run(collected())
    assert (killed["state"], killed["sentence"]) == ("failed", "its process was killed by SIGKILL")
    assert (cancelled["state"], done["state"]) == ("cancelled", "done")
    limits = services.settings.jobs.model_copy(update={"memory_bytes": 1})
    object.__setattr__(services, "settings", services.settings.model_copy(update={"jobs": limits}))
    made = start(admin, LINES, detector="random_forest", settings=FOREST).json()

    async def limited():
        async with running(services):
            return await until(admin, made["id"], "done", "failed")

    assert "of memory (memory_bytes)" in asyncio.run(limited())["sentence"]
    assert ModelStore(tmp_path / "store").versions("bert_cnn") == []


@pytest.mark.process
def test_a_job_whose_service_stops_is_started_again_with_it(log_in, services, training, tmp_path):
    admin = log_in("admin")
    made = start(admin, detector="bert_cnn", settings=ENDLESS).json()

    async def stopped():
        async with running(services):
            await until(admin, made["id"], "running", stage="train")
            return process_of(tmp_path / "jobs" / made["id"])

    first = asyncio.run(stopped())
    assert not Path(f"/proc/{first}").exists()
    assert job(admin, made["id"])["state"] == "waiting"

    async def cancelled():
        async with running(services):
            await until(admin, made["id"], "running", stage="train")
            admin.post(f"/api/v1/jobs/{made['id']}/cancel")
            return await until(admin, made["id"], "cancelled", "done", "failed")

    assert asyncio.run(cancelled())["state"] == "cancelled"
