"""The first tutorial does what it shows; of the second one all but the training and the engines is run."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from connectors.ports import free_port
from federation.storage.training_store import Label, TrainingSettings, TrainingStore
from models.base import Windows, template_id
from models.detectors.registry import build
from models.storage.store import ModelStore, Notes
from models.thresholds.base import Threshold
from tests.support.paths import DOCS, ROOT

TUTORIAL = (DOCS / "first-finding.md").read_text("utf-8")
FINDING = re.compile(r"^\d+\. \w+, since [\d:T-]+", re.MULTILINE)
TEMPLATE = re.compile(r"^   (order .*)$", re.MULTILINE)
ALERT = re.compile(r"│ [0-9a-f]{12} │ ([\d-]+)\s+│ (\w+)\s+│ shop.log")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(TUTORIAL) if name == language]


def facts(findings: str) -> tuple[str, list[str], set[str]]:
    """What a scan read, severity and beginning of each finding, and its templates; strengths may change."""
    first = findings.partition("; ")[0]
    return first, FINDING.findall(findings), set(TEMPLATE.findall(findings))


@pytest.fixture
def shell(tmp_path):
    """Runs commands of the tutorial in an empty folder and returns their standard output."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "driftline"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m engine.cli "$@"\n')
    program.chmod(0o755)
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"

    def run(commands: str) -> str:
        ran = subprocess.run(
            ["bash", "-e", "-c", commands], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run


@pytest.mark.process
def test_the_first_tutorial_prints_what_it_shows(shell, tmp_path):
    (script,), (settings,) = blocks("python"), blocks("toml")
    _install, make_log, scan, engine = blocks("bash")
    findings, alerts = blocks("text")
    (tmp_path / "make_log.py").write_text(script, "utf-8")
    (tmp_path / "region.toml").write_text(settings + "telemetry = {port = 0}\n", "utf-8")
    shell(make_log)
    assert facts(shell(scan)) == facts(findings)
    assert "connection to db-" in (tmp_path / "report.html").read_text("utf-8")
    assert ALERT.findall(shell(engine)) == ALERT.findall(alerts) != []


ROUND = (DOCS / "first-round.md").read_text("utf-8")
FILES = re.compile(r"ave this as `(fed/\w+\.toml)`:\n\n```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
REGIONS = ("eu", "us", "ap")


def prepare_round(folder: Path, port: int) -> None:
    """What the tutorial's log, `train` and the engines leave: its files, a first model, and windows in every store."""
    for name, text in FILES.findall(ROUND):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        text = text.replace("127.0.0.1:9092", f"127.0.0.1:{port}")
        text = text.replace("[superlink]\n", f"[superlink]\nport = {port}\n")
        # A model that is fitted in no time has another name than the tutorial's.
        name = 'model = "counts"\n' if "[superlink]" in text else ""
        path.write_text(name + text.replace("[model]\n", '[model]\nname = "counts"\n'), "utf-8")
    normal, broken = [template_id(text) for text in ("a", "b")], [template_id(text) for text in ("a", "c")]
    texts = {template_id(text): text for text in "abc"}
    detector = build("event_counts")
    detector.fit(Windows.of([normal] * 50), None, texts)
    ModelStore(folder / "fed" / "models").publish(
        "counts", detector, Notes(threshold=Threshold(rule="percentile", value=0.5))
    )
    for region in REGIONS:
        keys = [f"{region} {number}" for number in range(100)]
        bad = [number % 5 == 0 for number in range(100)]
        settings = TrainingSettings(path=folder / "fed" / region / "training.db")
        with TrainingStore(settings.path, settings, now_ns=time.time_ns) as store:
            store.add(
                Windows.of([broken if is_bad else normal for is_bad in bad]), keys=keys, ids=keys,
                time_ns=np.arange(100) * 1_000_000_000, scores=np.zeros(100, np.float32), templates=texts,
            )  # fmt: skip
            store.label(Label(key, is_bad, "labels", 0) for key, is_bad in zip(keys, bad, strict=True))


@contextmanager
def busy_machine() -> Iterator[None]:
    """Two processes that never rest, with the priority of a trainer, as on a machine with other work on it."""
    loops = [subprocess.Popen([sys.executable, "-c", "import os; os.nice(10)\nwhile True: pass"]) for _ in range(2)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@pytest.mark.process
@pytest.mark.timeout(500)
def test_the_commands_of_the_second_tutorial_run_a_round_on_a_busy_machine(shell, tmp_path):
    """As written, but for the training and the engines: nodes and coordinator start together, and a round is asked for
    in the next second."""
    port = free_port()
    prepare_round(tmp_path, port)
    (commands,) = [block for block in re.findall(r"```bash\n(.*?)```", ROUND, re.DOTALL) if "federate node" in block]
    lines = [line for line in commands.splitlines() if "driftline train" not in line and "driftline run" not in line]
    with busy_machine():
        said = shell("\n".join([*lines, "kill $(jobs -p)", "wait"]))
    ended, *_ = said.splitlines()
    assert re.match(r"round [\w-]+: (published as version 2|refused); ", ended), said
    assert "who: ap, eu, us" in said
    assert "1 entry, unchanged since written" in said
