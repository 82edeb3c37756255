"""The built wheel, installed into an environment of its own and used from outside the checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import orjson
import pytest

from engine.api.app import CONSOLE
from foundation.version import VERSION
from tests.support.paths import ROOT

pytestmark = pytest.mark.process

PACKAGES = {"connectors", "driftline", "engine", "federation", "foundation", "models"}
LINE = "2024-03-10 06:25:01,123 WARNING shop.orders: order 17 took 3.2 s\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "-q", "wheel", *options, str(ROOT)], check=True, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """Runs a program of a new environment: our packages come from the wheel, the others from this environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env" / "bin" / "python"
    site = next((folder / "env" / "lib").glob("python*/site-packages"))
    # A path in a .pth file is searched after the environment's own; the .pth files in it are not read, so that an
    # editable install of this checkout is not found.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ["install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True, cwd=folder)
    away = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def start(program: str, *arguments: str, **options: str) -> str:
        command = [str(folder / "env" / "bin" / program), *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=away, check=False, **options)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return start


@pytest.mark.skipif(not (CONSOLE / "index.html").is_file(), reason="the console is not built: make console")
def test_the_wheel_holds_the_built_console(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("engine/console/")}
    assert names == {f"engine/console/{path.relative_to(CONSOLE)}" for path in CONSOLE.rglob("*") if path.is_file()}


def test_the_wheel_holds_our_packages_and_their_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == PACKAGES
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    data = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts
    }
    assert data <= set(names)
    assert "engine/offline/report.html" in data


def test_the_metadata_is_that_of_the_project(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["Version"] == VERSION
    core = [text for text in metadata.get_all("Requires-Dist") if "extra ==" not in text]
    assert len(core) <= 14


def test_the_packages_come_from_the_wheel(run):
    code = "import driftline, engine, foundation; print(driftline.__file__, engine.__file__, foundation.__file__)"
    for place in run("python", "-c", code).split():
        assert not Path(place).is_relative_to(ROOT)
        assert "site-packages" in place


def test_commands_run_from_outside_the_checkout(run):
    assert run("driftline", "--version") == f"driftline {VERSION}\n"
    assert "--federated" in run("driftline", "demo", "--help")


def test_a_log_is_parsed_and_classified(run):
    record = orjson.loads(run("driftline", "parse", "-", input=LINE))
    assert record["template"] == "order <NUM> took <NUM>.<NUM> s"
    assert orjson.loads(run("driftline", "classify", "-", "--json", input=LINE))["records"] == 1


def test_the_public_interface_works(run):
    code = (
        "import sys, driftline\n"
        "table = driftline.parse(sys.stdin)\n"
        "windows = driftline.windows(table, kind='sliding', size=4, stride=2)\n"
        "model = driftline.train(windows, 'event_counts')\n"
        "print(driftline.__version__, len(table), len(driftline.score(windows, model)))\n"
    )
    assert run("python", "-c", code, input=LINE * 20) == f"{VERSION} 20 9\n"
