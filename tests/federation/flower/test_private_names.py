"""Only federation/flower uses what Flower keeps to itself, so only that folder depends on the exact version."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FLOWER = ROOT / "federation" / "flower"
PUBLIC = ("flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.serverapp.strategy")
PACKAGES = ("bench", "connectors", "driftline", "engine", "federation", "foundation", "models")


def private_names(source: str) -> Iterator[str]:
    """Names of Flower that are not exported by its public packages, imported or named in a string."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == "flwr" and a.name not in PUBLIC)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "flwr":
            exported = importlib.import_module(str(node.module)).__all__ if node.module in PUBLIC else ()
            yield from (f"{node.module}.{a.name}" for a in node.names if a.name not in exported)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("flwr."):
            yield node.value


def test_no_other_folder_uses_private_names_of_flower() -> None:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if FLOWER not in path.parents]
    found = {str(path.relative_to(ROOT)): list(private_names(path.read_text())) for path in files}
    assert len(files) > 100
    assert {path: names for path, names in found.items() if names} == {}


def test_the_folder_itself_uses_some() -> None:
    assert any(list(private_names(path.read_text())) for path in FLOWER.glob("*.py"))


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from flwr.app import Message, RecordDict", []),
        ("from flwr.serverapp.strategy import FedAvg", []),
        ("from flwr.serverapp import strategy as flower", []),
        ("from flwr.app.message import make_message", ["flwr.app.message.make_message"]),
        ("from flwr.app import message", ["flwr.app.message"]),
        ("import flwr.common", ["flwr.common"]),
        ("def f():\n    from flwr.proto.node_pb2 import Node", ["flwr.proto.node_pb2.Node"]),
        ("import_module('flwr.client.mod')", ["flwr.client.mod"]),
        ("import flwrx.common", []),
    ],
)
def test_private_names_are_recognized(source: str, names: list[str]) -> None:
    assert list(private_names(source)) == names


def test_settings_and_checks_load_without_flower_and_torch() -> None:
    code = "import sys, engine.runtime.preflight, engine.runtime.federation_wiring; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"flwr", "torch", "opacus"} & set(done.stdout.split())
