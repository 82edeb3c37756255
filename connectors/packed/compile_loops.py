"""Compile everything that reading from Kafka runs as machine code, before the first message is read."""

from functools import cache

import numpy as np

from connectors.packed.gather import free_messages, gather_lines, read_messages
from connectors.packed.loops import compiling


@cache
def compile_loops() -> None:
    """Compiles what reading any topic needs, unless this machine did it before, and reports it."""
    with compiling("Kafka reader") as needed:
        if needed:
            none, text = np.zeros(0, np.int64), np.zeros(1, np.uint8)
            read_messages(none, 0, 0, none, none, none)
            free_messages(none, 0, 0)
            gather_lines(none, none, none, text, text.ctypes.data, none, none, none, np.zeros(2, np.int64))


@cache
def compile_otlp() -> None:
    """Compiles what reading OTLP needs besides, unless this machine did it before, and reports it."""
    from connectors.packed import otlp_render, otlp_scan

    with compiling("OTLP reader") as needed:
        if needed:
            none, text, given = np.zeros(0, np.int64), np.zeros(1, np.uint8), np.frombuffer(b" ", np.uint8)
            records, pairs = np.zeros((0, otlp_scan.COLUMNS), np.int64), np.zeros((0, 2), np.int64)
            resources, places = np.zeros((0, 4), np.int64), np.zeros((0, 3), np.int64)
            otlp_scan.scan_requests(none, none, text, text.ctypes.data, records, resources, none, np.zeros(2, np.int64))
            otlp_render.render_records(
                text,
                records,
                none,
                given,
                places,
                given,
                pairs,
                pairs,
                1,
                text,
                none,
                none,
                none,
                np.zeros(1, np.int64),
            )
