r"""Workloads for the benchmarks: an HDFS log repeated with fresh block ids to any length.

Each repetition is the base log with every block id replaced by another of the same length and the
dates moved on by whole days, so that it follows the one before; line order, line lengths and times
of day stay. All of it happens on bytes at offsets computed once, so a million lines take about a
second. Workloads are written before any timing starts, and kept in a temporary folder outside the
repository, under a name that holds everything they depend on.
"""

import hashlib
import lzma
import os
import re
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from confluent_kafka import Producer
from numpy.typing import NDArray
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from bench.harness import BenchError
from engine.corpus.data import DataError, find
from engine.corpus.simulator import simulate
from engine.offline.label_files import read_session_labels
from foundation import durable

BLOCK = re.compile(rb"blk_-?(\d+)")
DATE_BYTES = 6
SIMULATED_LINES = 220_000
LARGEST_ID = 2**63 - 1
PRODUCER: dict[str, str | int] = {"linger.ms": 5, "acks": "all", "queue.buffering.max.messages": 500_000}
FORMAT = 1
"""Part of every cache name; to be raised when the bytes for the same arguments change."""


@dataclass(frozen=True, slots=True)
class BaseLog:
    """The log that is repeated, and where it came from ("hdfs-2pct" or "simulated")."""

    data: bytes
    labels: dict[str, bool]
    origin: str


def base_log(*, seed: int = 0) -> BaseLog:
    """The HDFS 2 % sample where it is at hand, else a simulated log of about that size."""
    try:
        found = find("hdfs-2pct")
    except DataError:
        simulated = simulate(SIMULATED_LINES, seed=seed)
        return BaseLog(simulated.data, simulated.labels, "simulated")
    labels = read_session_labels(found["HDFS_2pct_labels.csv"])
    return BaseLog(lzma.decompress(found["HDFS_2pct.log.xz"].read_bytes()), labels, "hdfs-2pct")


class RepeatedLog:
    """An HDFS log as bytes, with the offsets of everything that a repetition changes.

    Args:
        data: Lines closed by a newline, each beginning with `YYMMDD`.
        seed: Decides the fresh block ids; the first repetition keeps the log's own.
        days: By how many days a repetition follows the one before; None: the log's span.
    """

    def __init__(self, data: bytes, seed: int = 0, days: int | None = None) -> None:
        self.data = data
        self._seed = seed
        array = np.frombuffer(data, np.uint8)
        self._ends = np.flatnonzero(array == ord("\n"))
        self._starts = np.concatenate([[0], self._ends + 1])[:-1].astype(np.int64)
        matches = list(BLOCK.finditer(data))
        digits = [match.group(1) for match in matches]
        self._at = np.array([match.start(1) for match in matches], np.int64)
        self._ids = np.array([int(text) for text in digits], np.uint64)
        self._lengths = np.array([len(text) for text in digits], np.int64)
        # A date on a line that is out of order must not decide the span, so all lines are looked at.
        dates = array[self._starts[:, None] + np.arange(DATE_BYTES)]
        self._dates, self._date_of = np.unique(np.ascontiguousarray(dates).view(f"S{DATE_BYTES}"), return_inverse=True)
        self.days = self._span_days() if days is None else days

    def __len__(self) -> int:
        return len(self._ends)

    def _span_days(self) -> int:
        """The fewest whole days after which a repetition begins no earlier than this one ends."""
        texts = self._dates.ravel().tolist()
        first = self.data[: DATE_BYTES + 7]
        last = self.data[int(self._starts[-1]) :][: DATE_BYTES + 7]
        days = (_day(texts[-1]) - _day(texts[0])).days
        return max(days if last[DATE_BYTES:] <= first[DATE_BYTES:] else days + 1, 1)

    def split(self, parts: int) -> list["RepeatedLog"]:
        """Logs of their own, by block id, so that no session spans two; line order is kept."""
        block = np.zeros(len(self), np.int64)
        line_of = np.searchsorted(self._starts, self._at, side="right") - 1
        lines, first = np.unique(line_of, return_index=True)
        block[lines] = [zlib.crc32(str(value).encode()) % parts for value in self._ids[first].tolist()]
        array = np.frombuffer(self.data, np.uint8)
        widths = self._ends - self._starts + 1
        return [
            RepeatedLog(array[np.repeat(block == part, widths)].tobytes(), self._seed, self.days)
            for part in range(parts)
        ]

    def head(self, lines: int) -> "RepeatedLog":
        """The log of the first `lines` lines; its repetitions begin like this one's."""
        return RepeatedLog(self.data[: int(self._ends[lines - 1]) + 1 if lines else 0], self._seed, self.days)

    def repetition(self, number: int) -> bytes:
        """The log's bytes for the given repetition (from 0)."""
        if number == 0 or not len(self):
            return self.data
        out = np.frombuffer(self.data, np.uint8).copy()
        self._write_ids(out, number)
        moved = [_moved(text, number * self.days) for text in self._dates.ravel().tolist()]
        table = np.frombuffer(b"".join(moved), np.uint8).reshape(-1, DATE_BYTES)
        out[self._starts[:, None] + np.arange(DATE_BYTES)] = table[self._date_of.ravel()]
        return out.tobytes()

    def _write_ids(self, out: NDArray[np.uint8], number: int) -> None:
        """Moves every id by one random step within the ids of its length, which keeps them distinct."""
        rng = np.random.default_rng([self._seed, number])
        for length in range(1, 20):
            step = int(rng.integers(0, 2**63))
            chosen = np.flatnonzero(self._lengths == length)
            count = min(10**length, LARGEST_ID + 1)
            fresh = (self._ids[chosen] + np.uint64(step % count)) % np.uint64(count)
            for column in range(length - 1, -1, -1):
                fresh, digit = np.divmod(fresh, np.uint64(10))
                out[self._at[chosen] + column] = digit.astype(np.uint8) + ord("0")


@dataclass(frozen=True, slots=True)
class Workload:
    """A written workload: one file a part, no session in two of them.

    `lines` counts per part; `origin` is the base log's.
    """

    paths: tuple[Path, ...]
    lines: tuple[int, ...]
    origin: str

    def total(self) -> int:
        """Lines of all parts."""
        return sum(self.lines)


def write_workload(
    lines: int, *, parts: int = 1, seed: int = 0, folder: Path | None = None, base: BaseLog | None = None
) -> Workload:
    """Writes `lines` lines in `parts` files, or finds them written by an earlier run.

    Args:
        lines: Length of the workload, at least 1; the last repetition is cut there.
        parts: Files to write; sessions are dealt out by their block id.
        seed: Decides the fresh block ids.
        folder: Where workloads are kept; the user's own folder under the temporary one if None.
        base: The log to repeat; `base_log()` if None.
    """
    base = base_log(seed=seed) if base is None else base
    key = hashlib.sha256(base.data).hexdigest()[:12]
    folder = cache_folder() if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"hdfs-{FORMAT}-{key}-{lines}-{seed}"
    paths = tuple(folder / f"{stem}-{part}of{parts}.log" for part in range(parts))
    counts = folder / f"{stem}-of{parts}.counts"
    if not counts.exists() or not all(path.exists() for path in paths):
        _write(RepeatedLog(base.data, seed), lines, paths, counts)
    return Workload(paths, tuple(int(n) for n in counts.read_text().split()), base.origin)


def cache_folder() -> Path:
    """The folder that workloads and trained benchmark models are kept in, between runs."""
    return Path(tempfile.gettempdir()) / f"driftline-bench-{os.getuid()}"


def _write(log: RepeatedLog, lines: int, paths: tuple[Path, ...], counts: Path) -> None:
    """Write all parts, and the counts last: their file marks the parts as complete."""
    whole, rest = divmod(lines, len(log))
    written = []
    for path, part, last in zip(paths, log.split(len(paths)), log.head(rest).split(len(paths)), strict=True):
        with durable.replacing(path) as out:
            for number in range(whole):
                out.write(part.repetition(number))
            out.write(last.repetition(whole))
        written.append(whole * len(part) + len(last))
    durable.write(counts, " ".join(map(str, written)).encode())


def lines_of(path: Path, chunk_bytes: int = 1 << 24) -> Iterator[list[bytes]]:
    """The lines of a workload file without their ends, some 100,000 at a time."""
    rest = b""
    with path.open("rb") as file:
        while chunk := file.read(chunk_bytes):
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            yield lines
    if rest:
        yield [rest]


def produce(
    bootstrap: str, topic: str, workload: Workload, progress: Callable[[int], None] | None = None, *, packed: int = 0
) -> None:
    """Puts a workload on a topic, part i on partition i: one line a message, or OTLP requests of `packed` records.

    The last line of each part is sent separately: the embedded broker's end offset leaves the newest
    batch out, and a source that stops at the end would otherwise miss thousands of lines.

    Raises:
        BenchError: the broker did not acknowledge every message within a minute.
    """
    producer = Producer({"bootstrap.servers": bootstrap, **PRODUCER})
    done = 0
    last: list[tuple[int, bytes]] = []
    for part, path in enumerate(workload.paths):
        held: list[bytes] = []
        for lines in lines_of(path):
            batch = held + lines
            # Of packed lines, those beyond whole messages wait for the next ones.
            keep = 1 if not packed else (len(batch) - 1) % packed + 1
            held = batch[len(batch) - keep :]
            del batch[len(batch) - keep :]
            _send(producer, topic, part, _requests(batch, packed))
            done += len(batch)
            if progress is not None:
                progress(done)
        last += [(part, value) for value in _requests(held, packed)]
    _flush(producer, bootstrap, workload)
    for part, value in last:
        _send(producer, topic, part, [value])
    _flush(producer, bootstrap, workload)


def _requests(lines: list[bytes], packed: int) -> list[bytes]:
    """The lines as messages; with `packed` as OTLP requests, as the Collector's filelog receiver makes them."""
    if not packed:
        return lines
    values = []
    for start in range(0, len(lines), packed):
        request = ExportLogsServiceRequest()
        group = request.resource_logs.add()
        group.resource.attributes.add(key="host.name").value.string_value = "node-1"
        part = group.scope_logs.add()
        for line in lines[start : start + packed]:
            record = part.log_records.add(observed_time_unix_nano=time.time_ns())
            record.body.string_value = line.decode("latin-1")
            record.attributes.add(key="log.file.name").value.string_value = "hdfs.log"
        values.append(request.SerializeToString())
    return values


def _send(producer: Producer, topic: str, partition: int, values: list[bytes]) -> None:
    """Hands messages to the client, waiting where its queue is full."""
    for value in values:
        while True:
            try:
                producer.produce(topic, value, partition=partition)
            except BufferError:
                producer.poll(0.05)
            else:
                break
    producer.poll(0)


def _flush(producer: Producer, bootstrap: str, workload: Workload) -> None:
    left = producer.flush(60.0)
    if left:
        raise BenchError(f"the broker at {bootstrap} left {left} of {workload.total()} messages unacknowledged")


def _day(text: bytes) -> date:
    """The day of `YYMMDD`."""
    return date(2000 + int(text[:2]), int(text[2:4]), int(text[4:6]))


def _moved(text: bytes, days: int) -> bytes:
    """`YYMMDD` moved on by whole days."""
    return (_day(text) + timedelta(days=days)).strftime("%y%m%d").encode()
