"""A seeded simulator of a storage cluster's log in the HDFS format, for where no real log is there.

Every block lives through one session: allocated, written through a pipeline of three data nodes,
stored, perhaps read, checked, replicated, and deleted. A small share of sessions fails on the
way (labelled). Half-way through, a release changes the wording of some messages and adds others: the
drift for a detector that was trained before it. Some of them report a write error that the
second try corrected: they look like a failure but are not, so alerts become noise. Statements
follow the public HDFS template list (loghub); the life cycles and rates are invented, so figures
measured on this log do not carry over to real ones.
"""

import datetime
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

START = datetime.datetime(2008, 11, 9, 20, 35, 30, tzinfo=datetime.UTC)
REPLICAS = 3
BLOCK_BYTES = 67_108_864
RETRIED_SHARE = 0.15
"""Share of sessions with a write that succeeded at the second try; only the release logs it."""

LINES_PER_SESSION = 17
"""About the mean; only sets how far apart sessions start."""


@dataclass(frozen=True, slots=True)
class SimulatedLog:
    r"""A made-up log.

    Attributes:
        data: Lines in time order, each closed by `\n`.
        labels: Block id → whether its session failed; one entry for every block in `data`.
        release_line: Index of the first line logged after the release.
    """

    data: bytes
    labels: dict[str, bool]
    release_line: int


Event = tuple[float, int, str, str]
"""Seconds since the start, thread, component and level, message."""


def simulate(lines: int, *, seed: int = 0, anomaly_share: float = 0.03, release_at: float = 0.5) -> SimulatedLog:
    """A log of exactly `lines` lines.

    Args:
        lines: At least 1.
        seed: The same arguments give the same bytes, on every machine.
        anomaly_share: Share of failing sessions, 0..1.
        release_at: Place of the release as a share of the lines, about; 0..1, and 1 means none.

    Raises:
        ValueError: an argument is out of its range.
    """
    if lines < 1 or not 0 <= anomaly_share <= 1 or not 0 <= release_at <= 1:
        raise ValueError(f"lines={lines}, anomaly_share={anomaly_share}, release_at={release_at}: out of range")
    rng = np.random.default_rng(seed)
    events: list[tuple[float, int, str, str, str]] = []
    failed_at: dict[str, float] = {}
    # Sessions start evenly over the span; the surplus covers those that outlast it.
    sessions = math.ceil(lines / LINES_PER_SESSION * 1.3) + 20
    spacing_s = 0.6
    release_s = release_at * lines / LINES_PER_SESSION * spacing_s if release_at < 1 else math.inf
    for i in range(sessions):
        session = _Session(rng, i * spacing_s, release_s)
        fails = bool(rng.random() < anomaly_share)
        session.live(FAILURES[int(rng.integers(len(FAILURES)))] if fails else None)
        if fails:
            failed_at[session.block] = session.failed_s
        events.extend((*event, session.block) for event in session.events)
    events.sort(key=lambda event: event[0])
    return _cut(events[:lines], failed_at, release_s)


def _cut(events: list[tuple[float, int, str, str, str]], failed_at: dict[str, float], release_s: float) -> SimulatedLog:
    """Renders the events; a block counts as failed only if its failure lies inside the cut."""
    end_s = events[-1][0]
    labels = {event[4]: failed_at.get(event[4], math.inf) <= end_s for event in events}
    stamps: dict[int, str] = {}
    rendered = []
    for seconds, thread, source, message, _ in events:
        second = int(seconds)
        if second not in stamps:
            stamps[second] = (START + datetime.timedelta(seconds=second)).strftime("%y%m%d %H%M%S")
        rendered.append(f"{stamps[second]} {thread} {source} {message}\n")
    release = next((i for i, event in enumerate(events) if event[0] >= release_s), len(events))
    return SimulatedLog("".join(rendered).encode(), labels, release)


class _Session:
    """The life of one block: collects its events."""

    def __init__(self, rng: np.random.Generator, start_s: float, release_s: float) -> None:
        self._uniform: list[float] = rng.random(48).tolist()
        self._release_s = release_s
        self.now_s = start_s
        self.failed_s = math.inf
        self.events: list[Event] = []
        self.block = f"blk_{int(rng.integers(-(2**63), 2**63 - 1))}"
        self.size = BLOCK_BYTES if self.chance(0.8) else int(rng.integers(1_000, BLOCK_BYTES))
        self.nodes = [_address(n) for n in rng.choice(203, REPLICAS + 1, replace=False)]
        self.thread = 10 + int(rng.integers(0, 20_000))

    def uniform(self) -> float:
        """The next number in [0, 1); drawn ahead as one block because single draws are slow."""
        if not self._uniform:
            raise RuntimeError("a session drew more random numbers than were prepared for it")
        return self._uniform.pop()

    def chance(self, share: float) -> bool:
        return self.uniform() < share

    def wait(self, mean_s: float) -> None:
        self.now_s += -math.log(1.0 - self.uniform()) * mean_s

    def log(self, source: str, message: str, renamed: str = "") -> None:
        """Logs `message`, or `renamed` (where given) once the release is out."""
        level = "WARN " if source.startswith("!") else "INFO "
        component = level + source.lstrip("!") + ":"
        text = renamed if renamed and self.now_s >= self._release_s else message
        self.events.append((self.now_s, self.thread, component, text))

    def fail(self) -> None:
        """Marks the moment from which on the session is anomalous."""
        self.failed_s = min(self.failed_s, self.now_s)

    def live(self, failure: "Callable[[_Session], None] | None") -> None:
        """The life cycle; `failure`, where given, breaks it at its place."""
        self._write(failure in WRITE_FAILURES)
        if failure is not None:
            self.wait(5.0)
            self.fail()
            failure(self)
        if self.chance(0.4):
            self._read()
        if self.chance(0.25):
            self.wait(60.0)
            self.log("dfs.DataBlockScanner", f"Verification succeeded for {self.block}")
        if self.chance(0.08):
            self._replicate()
        if self.chance(0.4):
            self._delete()

    def _write(self, broken: bool) -> None:
        b = self.block
        name = f"/user/root/rand/_temporary/_task_200811092030_0001_m_{self.thread:06d}_0/part-{self.thread:05d}."
        self.log("dfs.FSNamesystem", f"BLOCK* NameSystem.allocateBlock: {name} {b}")
        for node in self.nodes[:REPLICAS]:
            self.wait(0.1)
            port = 33_000 + int(self.uniform() * 27_000)
            self.log(
                "dfs.DataNode$DataXceiver",
                f"Receiving block {b} src: /{node}:{port} dest: /{node}:50010",
                f"Opening pipeline for block {b} from /{node}:{port} to /{node}:50010",
            )
        self.wait(30.0)
        if self.chance(RETRIED_SHARE) and self.now_s >= self._release_s:
            error = "java.io.IOException: Connection reset by peer"
            self.log("dfs.DataNode$DataXceiver", f"writeBlock {b} received exception {error}, trying again")
            self.log("dfs.DataNode$BlockReceiver", f"Exception in receiveBlock for block {b}, trying again")
        for i, node in enumerate(self.nodes[: REPLICAS - 1 if broken else REPLICAS]):
            self.wait(0.2)
            self.log("dfs.DataNode$PacketResponder", f"PacketResponder {i} for block {b} terminating")
            self.log("dfs.DataNode$PacketResponder", f"Received block {b} of size {self.size} from /{node}")
            if self.now_s >= self._release_s:
                self.log("dfs.DataNode$PacketResponder", f"Checksum of block {b} computed in {self.thread % 90} ms")
            self.log(
                "dfs.FSNamesystem",
                f"BLOCK* NameSystem.addStoredBlock: blockMap updated: {node}:50010 is added to {b} size {self.size}",
                f"BLOCK* blockMap updated: added replica {node}:50010 of {b} with size {self.size}",
            )

    def _read(self) -> None:
        for node in self.nodes[: 1 + int(self.uniform() * 3)]:
            self.wait(20.0)
            self.log("dfs.DataNode$DataXceiver", f"{node}:50010 Served block {self.block} to /{node}")

    def _replicate(self) -> None:
        b, source, target = self.block, self.nodes[0], self.nodes[REPLICAS]
        self.wait(30.0)
        self.log("dfs.FSNamesystem", f"BLOCK* ask {source}:50010 to replicate {b} to datanode(s) {target}:50010")
        self.wait(1.0)
        self.log("dfs.DataNode", f"{source}:50010 Starting thread to transfer block {b} to {target}:50010")
        self.wait(2.0)
        self.log("dfs.DataNode$DataTransfer", f"{source}:50010:Transmitted block {b} to /{target}:50010")

    def _delete(self) -> None:
        self.wait(120.0)
        for node in self.nodes[:REPLICAS]:
            self.log(
                "dfs.FSNamesystem", f"BLOCK* NameSystem.delete: {self.block} is added to invalidSet of {node}:50010"
            )
        for node in self.nodes[:REPLICAS]:
            self.wait(1.0)
            place = f"/mnt/hadoop/dfs/data/current/subdir{sum(map(ord, node)) % 64}/{self.block}"
            self.log("dfs.FSDataset", f"Deleting block {self.block} file {place}")


def _pipeline_breaks(s: _Session) -> None:
    s.log(
        "dfs.DataNode$DataXceiver",
        f"writeBlock {s.block} received exception java.io.IOException: Connection reset by peer",
    )
    s.log("dfs.DataNode$BlockReceiver", f"Exception in receiveBlock for block {s.block} java.io.EOFException")
    s.log("dfs.DataNode$PacketResponder", f"PacketResponder 2 for block {s.block} Interrupted.")


def _mirror_breaks(s: _Session) -> None:
    mirror = f"{s.nodes[1]}:50010"
    s.log("dfs.DataNode$BlockReceiver", f"{s.nodes[0]}:50010:Exception writing block {s.block} to mirror {mirror}")
    s.log("dfs.DataNode$PacketResponder", f"PacketResponder {s.block} 1 Exception java.io.InterruptedIOException")


def _serving_fails(s: _Session) -> None:
    for node in s.nodes[:2]:
        s.log("!dfs.DataNode$DataXceiver", f"{node}:50010:Got exception while serving {s.block} to /{s.nodes[2]}:")


def _replica_is_lost(s: _Session) -> None:
    for node in s.nodes[:2]:
        request = f"BLOCK* NameSystem.addStoredBlock: addStoredBlock request received for {s.block} on {node}:50010"
        s.log("dfs.FSNamesystem", f"{request} size {s.size} But it does not belong to any file.")


def _deletion_fails(s: _Session) -> None:
    message = f"Unexpected error trying to delete block {s.block}. BlockInfo not found in volumeMap."
    s.log("!dfs.FSDataset", message)


def _replication_times_out(s: _Session) -> None:
    s.log("!dfs.PendingReplicationMonitor", f"PendingReplicationMonitor timed out block {s.block}")
    s.log(
        "dfs.DataNode", f"{s.nodes[0]}:50010:Failed to transfer {s.block} to {s.nodes[3]}:50010 got java.io.IOException"
    )


FAILURES: tuple[Callable[[_Session], None], ...] = (
    _pipeline_breaks,
    _mirror_breaks,
    _serving_fails,
    _replica_is_lost,
    _deletion_fails,
    _replication_times_out,
)
WRITE_FAILURES = (_pipeline_breaks, _mirror_breaks)


def _address(node: NDArray[np.int64]) -> str:
    """The address of a data node by its number."""
    n = int(node)
    return f"10.{250 + n % 2}.{n * 7 % 220}.{1 + n * 31 % 250}"
