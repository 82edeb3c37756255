"""Made-up syslogs for tests of what is found in them."""

import datetime as dt
import itertools
import random

import numpy as np

from connectors.base import LineBatch

START = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)
NOW_NS = 1_796_000_000 * 10**9
_KINDS = (
    (20, "CRON[{n}]: (root) CMD (/usr/lib/sysstat/debian-sa1 1 1)"),
    (15, "systemd[1]: Started Session {n} of user deploy."),
    (12, "sshd[{n}]: Accepted publickey for deploy from 10.0.0.7 port {n} ssh2"),
    (6, "sshd[{n}]: Failed password for invalid user admin from 198.51.100.7 port {n} ssh2"),
    (1, "kernel: usb 1-1: new high-speed USB device number {n} using xhci_hcd"),
)


def syslog(count, *, seed=0, incident=(), at=None):
    """Lines at constant rates with `incident` put in before line `at`, and the rows of the incident."""
    rng, time, lines, rows = random.Random(seed), START, [], []
    for i in range(count):
        time += dt.timedelta(seconds=rng.expovariate(1 / 5))
        if i == at:
            for text in incident:
                rows.append(len(lines))
                lines.append(f"{time:%b %e %H:%M:%S} web-1 {text}".encode())
        text = rng.choices([t for _, t in _KINDS], [w for w, _ in _KINDS])[0].format(n=rng.randint(1000, 60000))
        lines.append(f"{time:%b %e %H:%M:%S} web-{rng.randint(1, 3)} {text}".encode())
    return lines, rows


def batches(lines, size=1000, *, first=0):
    """The lines as batches of a file: the first ones together, the others `size` at a time."""
    byte = 0
    for start, stop in itertools.pairwise(sorted({0, *range(first, len(lines), size), len(lines)})):
        part = lines[start:stop]
        lengths = np.array([len(line) + 1 for line in part])
        ends = np.cumsum(lengths) - 1
        positions = byte + ends - lengths + 1
        yield LineBatch("app.log", b"".join(line + b"\n" for line in part), ends, positions, NOW_NS, NOW_NS)
        byte += int(lengths.sum())
