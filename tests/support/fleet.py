"""A coordinator's SuperLink with three regions, as real processes on this machine."""

import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from connectors.ports import free_port
from federation.flower.node import Node
from federation.flower.process_supervisor import Program
from federation.flower.settings import NodeSettings, SuperLinkSettings
from federation.flower.superlink import SuperLink
from federation.protocol.records import ModelSpec, Weights
from federation.region.trainer_process import Build
from federation.round.result import RoundResult
from federation.round.round_files import RoundPlan
from tests.support import handlers
from tests.support.prepared import SPEC, WEIGHTS, settings

REGIONS = ("ap", "eu", "us")
LIMIT_S = 100.0
"""Only a failure takes that long, and a busy machine may need much of it."""


def until(what: str, holds: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Waits, but not indefinitely."""
    end_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end_s, f"not within {limit_s} s: {what}"
        time.sleep(0.05)


class RunningFleet:
    """Starts everything, keeps watching it as the commands do, and ends it."""

    def __init__(
        self, folder: Path, *, builds: Mapping[str, Build] | None = None, superlink: Mapping[str, Any] | None = None,
        node: Callable[[str], Mapping[str, Any]] = lambda region: {}, ahead_s: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        """Args: `ahead_s` are the regions whose nodes have a wrong clock, with seconds by which it is ahead."""
        self.folder = folder
        port = free_port()
        given = {"folder": folder / "superlink", "port": port, **(superlink or {})}
        self.superlink = SuperLink(SuperLinkSettings.model_validate(given)).start()
        self.nodes: dict[str, Node] = {}
        for region in REGIONS:
            home = folder / region
            home.mkdir(exist_ok=True)
            build = (builds or {}).get(region, functools.partial(handlers.scripted, region, home))
            values: dict[str, Any] = {
                "superlink": f"127.0.0.1:{port}",
                "folder": home / "node",
                "nice": 0,
                "job_limit_s": 4.0,
            }
            values |= node(region)
            self.nodes[region] = Node(region, NodeSettings.model_validate(values), build)
            for program in (self.nodes[region].supernode, self.nodes[region].executor):
                _skew(program, (ahead_s or {}).get(region))
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._rounds = 0

    def __enter__(self) -> "RunningFleet":
        for node in self.nodes.values():
            node.start()
        self._watcher.start()
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._watcher.join()
        for node in self.nodes.values():
            node.stop()
        self.superlink.stop()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            for node in self.nodes.values():
                node.watch()

    def online(self) -> int:
        return sum(node.status == "online" for node in self.superlink.nodes())

    def wait(self, count: int = len(REGIONS)) -> None:
        until(f"{count} nodes are online", lambda: self.online() >= count)

    def run(self, start: tuple[ModelSpec, Weights] = (SPEC, WEIGHTS), **changes: Any) -> RoundResult:
        self._rounds += 1
        name = f"r{self._rounds}"
        # Long, since nobody waits for what has come, and a busy machine may take long.
        values = {"passes": 1, "hello_s": 60.0, "reply_s": 120.0, "deadline_s": 240.0, **changes}
        spec, weights = start
        plan = RoundPlan(round_id=name, settings=settings(**values), spec=spec, threshold=0.4)
        return self.superlink.run(self.folder / "rounds" / name, plan, weights)

    def script(self, region: str, word: str | None) -> None:
        """What the region does with the next updates; None: what it should."""
        path = self.folder / region / "script"
        (self.folder / region / "held").unlink(missing_ok=True)
        path.unlink(missing_ok=True) if word is None else path.write_text(word)

    def when_held(self, region: str, do: Callable[[], None]) -> threading.Thread:
        """Calls `do` once the region is in the middle of a training, from a thread."""
        self.script(region, "hold")
        held = self.folder / region / "held"

        def act() -> None:
            until(f"{region} trains", held.exists)
            do()

        thread = threading.Thread(target=act)
        thread.start()
        return thread


def _skew(program: Program, ahead_s: float | None) -> None:
    """Starts the program with a wrong clock, also when it is restarted."""
    choose = program._before

    def before() -> None:
        choose()
        python, flag, *module = program.command
        if ahead_s is not None and "tests.support.skewed" not in module:
            program.command = [python, flag, "tests.support.skewed", str(ahead_s), *module]

    program._before = before


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
