"""The first tutorial does what it shows; the second one is tried by hand, since it runs ten programs."""

import os
import re
import subprocess
import sys

import pytest

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
