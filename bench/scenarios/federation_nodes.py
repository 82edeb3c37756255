"""Scenario federate-nodes: what nodes cost a SuperLink at rest, and how long a round over them takes."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bench.data.thin_regions import ThinRegions
from bench.harness import BenchError, Number, Outcome, Run, Scenario, Target
from connectors.ports import free_port
from federation.errors import SetupError
from federation.flower.control import Control
from federation.flower.environment import flower_environment, flower_program
from federation.flower.process_supervisor import Program
from federation.flower.settings import SuperLinkSettings
from federation.flower.superlink import SuperLink
from federation.protocol.records import ModelSpec
from federation.round.round_files import RoundPlan
from federation.round.settings import RoundSettings

START_S = 600.0
SETTLE_S = 35.0
"""Time after the last round in which programs still ask more often."""

LOOK_S = 1.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

WEIGHTS = {"w": np.zeros((160, 160), np.float32)}
"""As large as the weights of `bert_cnn` with its default settings, 100 kB."""

SPEC = ModelSpec(name="m", version=1, kind="window_detector", detector="bert_cnn", settings={}, extra={})


def federate_nodes(run: Run) -> Outcome:
    """The cost of the largest number of nodes; the others are in the detail, and a stock SuperLink is a peer."""
    counts = [int(count) for count in run.setting("nodes", "3,20").split(",")]
    rest_s, stock = run.setting("rest_s", 60.0), run.setting("stock_nodes", 3)
    found: dict[int, dict[str, Number]] = {}
    for done, count in enumerate(counts):
        run.progress("nodes", done, len(counts))
        with tempfile.TemporaryDirectory(prefix="fn-") as name:
            found[count] = _ours(Path(name), count, rest_s)
    peers = {}
    if stock:
        run.progress("stock", 0, 1)
        with tempfile.TemporaryDirectory(prefix="fn-") as name:
            peers["stock Flower"] = {"idle_core_share_per_node": _stock(Path(name), stock, rest_s), "nodes": stock}
    detail = {"sizes": {str(count): values for count, values in found.items()}}
    return Outcome(found[max(counts)] | {"nodes": max(counts)}, peers, detail)


def _ours(folder: Path, count: int, rest_s: float) -> dict[str, Number]:
    settings = SuperLinkSettings.model_validate({"folder": folder / "superlink", "port": free_port()})
    with SuperLink(settings) as superlink, ThinRegions(count, folder / "regions", superlink.address) as thin:
        _wait_for(lambda: sum(node.status == "online" for node in superlink.nodes()), count)
        _round(superlink, folder / "first", count)  # everything is loaded afterwards
        started_s = time.monotonic()
        _round(superlink, folder / "measured", count)
        round_s = time.monotonic() - started_s
        first = thin.regions[0]
        centre, region = (superlink.program, superlink.executor), (first.supernode, first.executor)
        time.sleep(SETTLE_S)
        shares = _core_shares((*centre, *region), rest_s)
        return {
            "idle_core_share_per_node": sum(shares[:2]) / count,
            "idle_core_share_region": sum(shares[2:]),
            "round_s": round_s,
            "rss_region_bytes": sum(_resident_bytes(program) for program in region),
            "rss_superlink_bytes": _resident_bytes(superlink.program),
        }


def _round(superlink: SuperLink, folder: Path, count: int) -> None:
    settings = RoundSettings(min_regions=count, hello_s=START_S, reply_s=START_S, deadline_s=6 * START_S)
    plan = RoundPlan(round_id=folder.name, settings=settings, spec=SPEC, threshold=0.4)
    result = superlink.run(folder, plan, WEIGHTS)
    if len(result.participants) != count or result.missing or result.refusals:
        raise BenchError(f"{len(result.participants)} of {count} regions took part: {result.refusals}")


def _stock(folder: Path, count: int, rest_s: float) -> float:
    """The share of a core for each idle node of Flower's own programs."""
    address = f"127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    environment = flower_environment(folder / "flower")
    command = [flower_program("flower-superlink"), "--host", "127.0.0.1", "--port", port, "--insecure"]
    superlink = Program("SuperLink", [*command, "--isolation", "process"], environment, folder / "superlink.log")
    with ExitStack() as running:
        running.callback(superlink.stop)
        superlink.start()
        control = Control(address, None, secure=False)
        running.callback(control.close)
        _wait_for(lambda: _online(control) + 1, 1)
        for number in range(count):
            command = [flower_program("flower-supernode"), "--insecure", "--superlink", address, "--port"]
            command += [str(free_port()), "--isolation", "process"]
            node = Program("SuperNode", command, environment, folder / f"{number}.log")
            running.callback(node.stop)
            node.start()
        _wait_for(lambda: _online(control), count)
        time.sleep(SETTLE_S)
        return _core_shares([superlink], rest_s)[0] / count


def _online(control: Control) -> int:
    """Number of online nodes; -1 while the SuperLink does not answer."""
    try:
        return sum(node.status == "online" for node in control.nodes())
    except SetupError:
        return -1


def _wait_for(online: Callable[[], int], count: int) -> None:
    end_s = time.monotonic() + START_S
    while online() < count:
        if time.monotonic() > end_s:
            raise BenchError(f"{count} nodes were not online within {START_S:g} s")
        time.sleep(LOOK_S)


def _core_shares(programs: Sequence[Program], seconds: float) -> list[float]:
    """The share of a core that each program takes in the next `seconds`."""
    before, started_s = [_cpu_s(program) for program in programs], time.monotonic()
    time.sleep(seconds)
    passed_s = time.monotonic() - started_s
    return [(_cpu_s(program) - first) / passed_s for program, first in zip(programs, before, strict=True)]


def _cpu_s(program: Program) -> float:
    fields = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _resident_bytes(program: Program) -> int:
    return int(Path(f"/proc/{program.pid}/statm").read_text().split()[1]) * PAGE_BYTES


FEDERATE_NODES = Scenario(
    "federate-nodes",
    "What nodes cost a SuperLink at rest, and a round of four passes over all of them, next to a stock one",
    federate_nodes,
    {
        "idle_core_share_per_node": Target(better="lower", goal=0.003, floor=0.003, tolerance=0.3),
        "round_s": Target(better="lower", goal=180.0, tolerance=0.3),
        "rss_region_bytes": Target(better="lower", tolerance=0.1),
    },
)
