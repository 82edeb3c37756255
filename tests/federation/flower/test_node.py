"""A region's node: the pair of programs finds each other, whatever happens to a port."""

import socket
import sys
from pathlib import Path

import pytest

from connectors.ports import free_port
from federation.flower import node as module
from federation.flower.node import Node
from federation.flower.settings import NodeSettings
from tests.support.fleet import LIMIT_S, until
from tests.support.handlers import scripted

LISTENER = (
    "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', {port})); print('up', flush=True); time.sleep(600)"
)


def _node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ports: list[int]) -> Node:
    """A node whose SuperNode only listens, and whose executor waits."""
    monkeypatch.setattr(module, "free_port", lambda: ports.pop(0))
    listen = lambda *given: [sys.executable, "-c", LISTENER.format(port=given[-1].rpartition(":")[2])]  # noqa: E731
    monkeypatch.setattr(module, "_supernode_command", listen)
    wait = [sys.executable, "-c", "import sys, time; print(sys.argv[1], flush=True); time.sleep(600)"]
    monkeypatch.setattr(module, "python_module", lambda name, role, address, secret: [*wait, address])
    settings = NodeSettings.model_validate({"folder": tmp_path / "node"})
    return Node("eu", settings, scripted)  # type: ignore[arg-type]


def test_files_named_from_the_current_folder_are_found_from_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ca.crt", "eu.key"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    settings = NodeSettings.model_validate({"folder": "node", "root_certificates": "ca.crt", "key": "eu.key"})
    monkeypatch.chdir("/")
    node = Node("eu", settings, scripted)  # type: ignore[arg-type]
    node.supernode._before()
    home = tmp_path / "node"
    given = " ".join(node.supernode.command)
    assert f'socket="{home}/trainer.sock"' in given
    assert f"--superexec-auth-secret-file {home}/secret" in given
    assert f"--root-certificates {tmp_path}/ca.crt --auth-supernode-private-key {tmp_path}/eu.key" in given
    assert node.executor.command[-1] == f"{home}/secret"


@pytest.mark.process
def test_a_port_that_another_program_took_meanwhile_is_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        node = _node(tmp_path, monkeypatch, [taken.getsockname()[1], good])
        node.supernode.start()
        node.executor.start()

        def found() -> bool:
            node.watch()
            heard = node.executor.last_output().splitlines()[-1:] == [f"127.0.0.1:{good}"]
            return node.supernode.last_output().endswith("up") and node.executor.steady and heard

        until("both use the other port", found)
        starts = node.supernode.starts, node.executor.starts
        assert starts[0] == 2
        for _ in range(20):
            node.watch()
        assert (node.supernode.starts, node.executor.starts) == starts
        node.supernode.stop()
        node.executor.stop()


def test_an_executor_that_was_told_to_end_does_not_end_the_new_supernode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = _node(tmp_path, monkeypatch, [free_port(), free_port()])
    node.supernode.start()
    node.executor.start()
    node.supernode._before()  # as at a start of the SuperNode while an executor examines the old port
    assert node.executor.ending
    process = node.executor._process
    assert process is not None
    process.wait(LIMIT_S)
    node.watch()
    assert node.supernode.steady
    node.supernode.stop()
    node.executor.stop()
