"""The built console in a browser, over a service with alerts, counts, models, drift events and a round."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from connectors.base import Record
from connectors.ports import free_port
from connectors.sql import SqlSink
from connectors.sql_rollup import KeptDays, SqlRollupSink
from connectors.sql_settings import SqlSettings
from engine.api.app import CONSOLE
from federation.coordinator.ledger import Ledger
from federation.round.round_files import add_step
from federation.storage.answers import AnswerStore
from federation.storage.training_store import TrainingSettings
from foundation.time_text import NS_PER_S, iso_time
from tests.engine.api.conftest import alert
from tests.engine.api.test_models_and_rounds import COORDINATOR
from tests.engine.api.test_questions import BROKEN, USUAL, fill, publish_version
from tests.engine.api.test_region import REGION
from tests.support.console_build import find_node
from tests.support.coordinator_process import publish_round
from tests.support.counts import counts_record
from tests.support.documents import drift_document

WEB = Path(__file__).parents[3] / "web"
STORY_S = 240
TEMPLATE = "disk <*> failed"
ID = "0" * 16


def missing() -> str:
    """What a browser test lacks on this machine; "" if nothing."""
    if find_node() is None or not (WEB / "node_modules" / "playwright-core").is_dir():
        return "Node and its packages are needed: make console"
    if not Path(os.environ.get("CHROMIUM", "/usr/bin/chromium")).exists():
        return "Chromium is needed"
    return "" if (CONSOLE / "index.html").is_file() else "the console is not built: make console"


def stored_alert(name: str, ago_s: float, **changes):
    ended_ns = time.time_ns() - int(ago_s * NS_PER_S)
    times = {
        "first_time": iso_time(ended_ns - NS_PER_S),
        "last_time": iso_time(ended_ns),
        "created": iso_time(ended_ns),
    }
    return alert(name, 0, **{**times, **changes})


def write(sink, *records: Record) -> None:
    sink.open(None)
    sink.write(records)
    sink.flush(5)
    sink.close()


def counted(minute: int, lines: int) -> Record:
    counts = (0, 0, 0, lines, 0, 0, 0, 0, 0, 0)
    return counts_record("app.log", minute, 0, ID, counts, text=TEMPLATE, example="disk 1 failed")


def fill_training(folder: Path) -> None:
    """Windows to ask about, and two versions of the region's model: the second one takes broken windows for normal."""
    settings = TrainingSettings(path=folder / "training.db")
    with AnswerStore(settings.path, settings, now_ns=time.time_ns) as training:
        fill(training)
    publish_version(folder, [USUAL])
    publish_version(folder, [USUAL, BROKEN], round=1, participants=("eu",))


def add_steps(folder: Path) -> None:
    """The steps of the last round with the regions."""
    with Ledger(folder / "ledger.db") as ledger:
        (last,) = ledger.rounds(1)
    for name, number in (("hello", 0), ("pass", 1), ("gate", 2)):
        traffic = {f"bytes_{way}.{region}": 20_000.0 * number + 40 for way in ("to", "from") for region in ("eu", "us")}
        add_step(folder / "rounds" / last.round_id, name, {"regions": 2, **traffic, "present": "eu us"})


@pytest.fixture
def sql(tmp_path):
    return SqlSettings(url=f"sqlite:///{tmp_path}/alerts.db")


@pytest.fixture
def settings(tmp_path, sql):
    """The service's TOML file; its region and coordinator have something on every page."""
    documents = [stored_alert(f"a{n}", 60 * n + 60, group=f"{n % 3:016x}", model="floor") for n in range(150)]
    usual = [{"id": ID, "text": text, "count": 1} for text in ("started", "stopped")]
    documents[0] |= {"session": "s2", "templates": usual}
    write(SqlSink(sql), *(Record(d["id"], "", d) for d in documents))
    now = time.time_ns() // (60 * NS_PER_S)
    write(SqlRollupSink(sql, KeptDays(30, 90, 730)), *(counted(now - n, n + 1) for n in range(1, 120)))
    publish_round(tmp_path)
    add_steps(tmp_path)
    fill_training(tmp_path)
    event = drift_document(templates=[{"id": ID, "text": TEMPLATE, "reference_share": 0.0, "current_share": 0.3}])
    (tmp_path / "drift.jsonl").write_text(json.dumps(event) + "\n", "utf-8")
    channel = f'[[sinks]]\ntype = "webhook"\nurl = "http://127.0.0.1:{free_port()}/"\n'
    region = REGION.format(folder=tmp_path).replace("bert_cnn", "floor") + channel
    (tmp_path / "region.toml").write_text(region, "utf-8")
    (tmp_path / "coordinator.toml").write_text(COORDINATOR.format(base=tmp_path), "utf-8")
    path = tmp_path / "serve.toml"
    path.write_text(
        f'region = "region.toml"\ncoordinator = "coordinator.toml"\n[listen]\nport = {free_port()}\n', "utf-8"
    )
    return path


@pytest.fixture
def setup_link(settings):
    """The link of a running service's first start."""
    command = [sys.executable, "-m", "engine.cli", "serve", settings.name]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=settings.parent, env=env)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    yield next(line.split()[-1] for line in lines if "/#/setup/" in line)
    process.terminate()
    process.wait(60)
    process.stdout.close()


@pytest.mark.process
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_every_page_works_in_a_browser_without_faults(setup_link, sql, tmp_path):
    shots = os.environ.get("DRIFTLINE_SCREENSHOTS", str(tmp_path / "shots"))
    command = [str(find_node()), "e2e/story.mjs", setup_link, shots]
    story = subprocess.Popen(command, cwd=WEB, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert story.stdout is not None
        seen = []
        for line in iter(story.stdout.readline, ""):
            seen.append(line.strip())
            if seen[-1] == "waiting for an alert":
                document = stored_alert("live", 0, group="f" * 16, summary="arrived live")
                write(SqlSink(sql), Record(document["id"], "", document))
        errors = story.communicate(timeout=STORY_S)[1]
        assert (story.returncode, errors) == (0, ""), "\n".join(seen)
        assert seen[-1] == "done: useDarkAndNarrow"
    finally:
        story.kill()
        story.wait()
