"""Whatever a user can name is documented."""

import configparser
import itertools
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from engine.cli import federate
from engine.runtime.supervisor import DRAIN_KILL_S
from federation.flower.process_supervisor import STOP_S
from models.detectors.registry import DETECTORS
from models.thresholds.registry import RULES

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_is_a_row_of_the_page_on_evaluation(name):
    assert f"\n| `{name}` | " in (ROOT / "docs" / "evaluation.md").read_text("utf-8")


@pytest.mark.parametrize("name", RULES)
def test_every_threshold_is_a_row_of_the_page_on_evaluation(name):
    assert f"\n| `{name}` | " in (ROOT / "docs" / "evaluation.md").read_text("utf-8")


def _units():
    text = (ROOT / "docs" / "federation-running.md").read_text("utf-8")
    return re.findall(r"```ini\n(.*?)```", text, re.DOTALL)


def test_the_service_that_the_docs_show_starts_a_command_of_ours_again_and_again():
    (text,) = _units()
    unit = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    unit.optionxform = str
    unit.read_string(text)
    service = unit["Service"]
    assert service["Restart"] == "always"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0", "systemd gives up after five starts in ten seconds otherwise"
    # An engine's drain and the end of Flower's programs, one after the other, must fit.
    assert float(service["TimeoutStopSec"]) > 2 * STOP_S + DRAIN_KILL_S
    program, *words = shlex.split(service["ExecStart"])
    assert (Path(program).name, words[:2]) == ("driftline", ["federate", "coordinator"])
    assert words[1] in {command.name for command in federate.app.registered_commands}


def test_every_extra_is_a_row_of_the_page_on_installation():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    page = (ROOT / "docs" / "installation.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(project["optional-dependencies"])


def _hops():
    """Step, files from the pipeline to the work, and their stated number."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| (\w+) \| (`engine/dataflow\.py`[^|]+) \| (\d+) \|$", text, re.MULTILINE)
    return [(step, re.findall(r"`([\w/]+\.py)`", files), int(count)) for step, files, count in rows]


def test_the_hop_map_has_every_step_of_the_pipeline_once():
    pipeline = (ROOT / "engine" / "dataflow.py").read_text("utf-8")
    steps = set(re.findall(r'op\.(?:stateful_batch|flat_map)\("(\w+)"', pipeline))
    assert sorted(step for step, _, _ in _hops()) == sorted(steps), "one row for each step"


@pytest.mark.parametrize(("step", "files", "count"), _hops())
def test_every_file_of_the_hop_map_imports_the_next(step, files, count):
    assert len(files) == count <= 5
    for file, following in itertools.pairwise(files):
        module = following.removesuffix(".py").replace("/", ".")
        package, _, name = module.rpartition(".")
        text = (ROOT / file).read_text("utf-8")
        assert re.search(rf"^ *from {module} import |^ *from {package} import .*\b{name}\b", text, re.MULTILINE), file
    assert (ROOT / files[-1]).is_file()
