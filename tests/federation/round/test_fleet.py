"""Rounds over real processes: Flower's SuperLink, three SuperNodes, executors and trainers, and what kills them.

The clock of one node is two hours ahead, and that of another three hours behind.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from federation.errors import RoundFailedError
from federation.round.round_files import read_steps
from tests.support.fleet import RunningFleet, kill, until
from tests.support.prepared import WEIGHTS

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    hour_s = 3600.0
    with RunningFleet(tmp_path_factory.mktemp("fleet"), ahead_s={"eu": 2 * hour_s, "ap": -3 * hour_s}) as running:
        yield running


@pytest.fixture(autouse=True)
def _nobody_misbehaves(fleet: RunningFleet) -> Iterator[None]:
    yield
    for region in fleet.nodes:
        fleet.script(region, None)


def online(fleet: RunningFleet) -> set[int]:
    return {node.node_id for node in fleet.superlink.nodes() if node.status == "online"}


def whole(fleet: RunningFleet) -> bool:
    return fleet.run().participants == ("ap", "eu", "us")


def test_a_round_over_three_regions(fleet: RunningFleet) -> None:
    result = fleet.run(passes=2)
    assert result.accepted
    assert result.participants == ("ap", "eu", "us")
    assert (result.refusals, result.missing, result.examples) == ((), (), 300)
    np.testing.assert_allclose(result.weights["a"], WEIGHTS["a"] + 2)
    np.testing.assert_array_equal(result.weights["ids"], WEIGHTS["ids"])
    steps = read_steps(fleet.folder / "rounds" / result.round_id)
    assert [step.name for step in steps] == ["hello", "pass", "pass", "threshold", "gate"]


def test_a_secure_round_gives_the_mean_and_hides_who_changed_what(fleet: RunningFleet) -> None:
    result = fleet.run(privacy={"mode": "secagg"})
    assert (result.participants, result.examples) == (("ap", "eu", "us"), 300)
    np.testing.assert_allclose(result.weights["a"], WEIGHTS["a"] + 1, atol=1e-5)
    np.testing.assert_array_equal(result.weights["ids"], WEIGHTS["ids"])


def test_a_region_that_answers_nan_is_refused_by_name(fleet: RunningFleet) -> None:
    fleet.script("eu", "nan")
    result = fleet.run()
    assert result.participants == ("ap", "us")
    assert [r.region for r in result.refusals] == ["eu"]
    np.testing.assert_allclose(result.weights["a"], WEIGHTS["a"] + 1)


def test_a_hung_training_misses_the_deadline_is_reported_and_does_not_block_the_next_round(fleet: RunningFleet) -> None:
    fleet.script("us", "hang")
    result = fleet.run()
    assert result.participants == ("ap", "eu")
    (refusal,) = result.refusals
    assert refusal.region == "us"
    assert "the train job was killed: it did not end within 4 s" in refusal.reason
    fleet.script("us", None)
    until("a new trainer is there", lambda: fleet.nodes["us"].trainer.ready)
    assert whole(fleet)


def test_a_killed_client_costs_its_region_the_round_and_no_more(fleet: RunningFleet) -> None:
    node = fleet.nodes["ap"]
    thread = fleet.when_held("ap", lambda: kill(node.executor.pid))
    result = fleet.run()
    thread.join()
    assert result.participants == ("eu", "us")
    assert "ap" in {*result.missing, *(r.region for r in result.refusals)}
    fleet.script("ap", None)
    fleet.wait()
    assert whole(fleet)


def test_a_killed_supernode_costs_its_region_the_round_and_no_more(fleet: RunningFleet) -> None:
    node = fleet.nodes["ap"]
    known = online(fleet)
    thread = fleet.when_held("ap", lambda: kill(node.supernode.pid))
    result = fleet.run(reply_s=20)
    thread.join()
    assert result.participants == ("eu", "us")
    assert "ap" in {*result.missing, *(r.region for r in result.refusals)}
    fleet.script("ap", None)
    # The SuperLink holds the dead one for alive until its heartbeats have been missing for a minute.
    until("the new SuperNode is online", lambda: online(fleet) - known)
    assert fleet.run(hello_s=16).participants == ("ap", "eu", "us")


def test_a_killed_superlink_fails_the_round_and_the_next_one_works(fleet: RunningFleet) -> None:
    thread = fleet.when_held("eu", lambda: kill(fleet.superlink.program.pid))
    with pytest.raises(RoundFailedError, match="died during the run"):
        fleet.run()
    thread.join()
    fleet.script("eu", None)
    assert whole(fleet)


def test_a_round_that_hangs_in_its_server_is_stopped_at_the_deadline(fleet: RunningFleet) -> None:
    executor = fleet.superlink.executor
    before = executor.starts

    def freeze() -> None:
        assert executor.pid is not None
        os.kill(executor.pid, signal.SIGSTOP)

    thread = fleet.when_held("eu", freeze)
    with pytest.raises(RoundFailedError, match="had no result after 20 s and was stopped") as failed:
        fleet.run(deadline_s=20)
    assert failed.value.present == ("ap", "eu", "us"), "the server hangs, and no region"
    thread.join()
    fleet.script("eu", None)
    assert whole(fleet)
    assert executor.starts > before


def test_everything_ends_when_it_is_told_to(tmp_path: Path) -> None:
    with RunningFleet(tmp_path) as fleet:
        programs = [fleet.superlink.program, fleet.superlink.executor]
        programs += [p for node in fleet.nodes.values() for p in (node.supernode, node.executor)]
        pids = [program.pid for program in programs] + [n.trainer.worker_pid for n in fleet.nodes.values()]
    for pid in pids:
        assert pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
