"""A producer at a steady rate, as its own process; notes when every line was produced.

    python -m bench.processes.producer --bootstrap 127.0.0.1:9092 --topic lines --rate 100000 --times t.npy FILE

`t.npy` holds int64 (n,): wall clock in ns of each line's hand-over to the client, in file order; on a
fresh topic of one partition a line's index is its offset. Falling behind the rate is reported.
"""

import itertools
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import orjson
import typer
from confluent_kafka import Producer

from bench.data.workloads import lines_of

TICK_S = 0.005
"""Lines are handed over in ticks of this length, which is also the client's own gathering time."""


def main(
    file: Annotated[Path, typer.Argument(help="Lines to produce, one a message.")],
    bootstrap: Annotated[str, typer.Option(help="Brokers.")],
    topic: Annotated[str, typer.Option(help="Topic of one partition.")],
    times: Annotated[Path, typer.Option(help="Where to write when each line was produced.")],
    rate: Annotated[int, typer.Option(help="Lines per second.")] = 100_000,
) -> None:
    """Produces the file at the given rate and prints how well it was kept as JSON."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": "all", "queue.buffering.max.messages": 1_000_000}
    )
    lines = list(itertools.chain.from_iterable(lines_of(file)))
    stamps = np.zeros(len(lines), np.int64)
    per_tick = max(1, round(rate * TICK_S))
    behind_s = 0.0
    started_s = time.perf_counter()
    for tick, start in enumerate(range(0, len(lines), per_tick)):
        early_s = started_s + tick * TICK_S - time.perf_counter()
        if early_s > 0:
            time.sleep(early_s)
        behind_s = max(behind_s, -early_s)
        stamps[start : start + per_tick] = time.time_ns()
        for line in lines[start : start + per_tick]:
            producer.produce(topic, line, partition=0)
        producer.poll(0)
    elapsed_s = time.perf_counter() - started_s
    left = producer.flush(30.0)
    np.save(times, stamps)
    note = {"lines": len(lines), "rate": len(lines) / elapsed_s, "behind_s": behind_s, "unacknowledged": left}
    typer.echo(orjson.dumps(note).decode())


if __name__ == "__main__":
    typer.run(main)
