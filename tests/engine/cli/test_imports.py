"""The modules that the command line may load before a command does its work, so that it starts quickly."""

import subprocess
import sys

import orjson
import pytest

from engine.cli.train import DETECTOR_HELP
from engine.docs.commands import commands
from models.classify.registry import CLASSIFIERS
from models.detectors.registry import DETECTORS

THIRD_PARTY = {"click", "shellingham", "typer"}
"""Typer with its dependencies: the command line itself."""

DRAWING = {"attr", "markdown_it", "mdurl", "pygments", "rich"}
"""Rich with its dependencies: Typer draws help texts with it."""

OWN = {"engine.cli", "engine.telemetry", "foundation"}
"""Our packages: the commands, the opt-out variables, errors and version."""

SHOW = """
import contextlib, io, json, sys
from engine.cli import main
for line in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()):
        sys.argv = ["driftline", *line]
        try:
            main()
        except SystemExit as ended:
            assert ended.code == 0, (line, ended.code)
names = {name for name, module in sys.modules.items() if getattr(module, "__file__", None)}
print(json.dumps(sorted(names)))
"""


def loaded(*lines: list[str]) -> set[str]:
    """The modules that a fresh interpreter holds after these command lines."""
    command = [sys.executable, "-c", SHOW, orjson.dumps(lines).decode()]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(orjson.loads(ran.stdout))


def packages(modules: set[str]) -> set[str]:
    own = {"engine", "federation", "connectors", "models", "foundation", "driftline"}
    roots = {name.partition(".")[0] for name in modules} - own
    # An interpreter's own start-up files (such as those of editable installs) are not ours to judge.
    startup = {name for name in roots if name.startswith(("_", "distutils", "sitecustomize", "usercustomize"))}
    return roots - set(sys.stdlib_module_names) - startup


def our_rooms(modules: set[str]) -> set[str]:
    ours = {
        name for name in modules if name.startswith(("engine.", "federation", "connectors", "models", "foundation"))
    }
    return {".".join(name.split(".")[:2]) if name.startswith("engine.") else name.partition(".")[0] for name in ours}


def test_the_version_needs_typer_alone():
    modules = loaded(["--version"])
    assert packages(modules) <= THIRD_PARTY
    assert our_rooms(modules) <= OWN


def test_every_help_text_needs_typer_and_rich_alone():
    modules = loaded(["--help"], *([*name.split()[1:], "--help"] for name, _ in commands()))
    assert packages(modules) <= THIRD_PARTY | DRAWING
    assert our_rooms(modules) <= OWN


@pytest.mark.parametrize("name", [*DETECTORS, *CLASSIFIERS])
def test_the_help_of_train_names_every_model(name):
    assert f"{name}," in DETECTOR_HELP or f"{name};" in DETECTOR_HELP or f"{name}." in DETECTOR_HELP
