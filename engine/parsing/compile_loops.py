"""Compile everything that parsing runs as machine code, before the first line is read.

`python -m engine.parsing.compile_loops` does it ahead of the first start, as when an image is built, and for Kafka too.
"""

from functools import cache

import numpy as np

from engine.compiled.inner_level import level_within
from engine.compiled.jit import compiling
from engine.compiled.memory import LineMemory
from engine.compiled.read import number_messages, read_lines
from engine.compiled.scan import hash_spans
from engine.compiled.tables import ClockTables
from engine.compiled.words import PAD, padded
from engine.formats.registry import FORMATS
from engine.formats.timestamps import TimeRules
from engine.parsing.format_tables import FormatTables
from engine.parsing.minute_counts import MinuteCounts
from engine.parsing.parsed_columns import Rows
from engine.parsing.template_settings import TemplateSettings
from engine.parsing.templates import PartitionTemplates
from foundation.time_text import NS_PER_S


@cache
def compile_loops() -> None:
    """Compiles what this machine has not compiled before, which takes about half a minute, and reports it."""
    with compiling("parser") as needed:
        if needed:
            _call_everything()


def _call_everything() -> None:
    """Calls every compiled function once, with the types that it is called with later."""
    rules, times = TemplateSettings(), TimeRules()
    tables = FormatTables([FORMATS["raw"]], [()], [rules.masks], [[0]]).tables
    memory = LineMemory(64)
    memory.make_room()
    templates = PartitionTemplates([rules], memory)
    rows, data, ends = Rows.empty(1), padded(b"started\n"), np.array([7], np.int64)
    clock = ClockTables(times.limits(0), times.offsets.quarters, times.offsets.seconds)
    read_lines(tables, memory.known, memory.room, clock, data, ends, PAD, 0, 1, 0, rows.columns())
    number_messages(
        tables, memory.known, memory.room, data[PAD:], ends, np.zeros(1, np.int64), np.zeros(1, np.bool_), 0,
        np.zeros(1, np.int32),
    )  # fmt: skip
    hash_spans(data, rows.key_start, ends, rows.session)
    level_within(b"")
    templates.assign(rows.text)
    templates.restore(0, {**templates.state(0), "born": [], "now": []})
    templates.forget()
    one, day = np.ones(1, np.int64), np.full(1, 86_400 * NS_PER_S)
    counts = MinuteCounts(0, 2)
    counts.add_lines(day, one, np.zeros(1, np.int8))
    counts.add_windows(day, one, np.array([0, 1]), np.zeros((1, 1), np.int32))


if __name__ == "__main__":
    from connectors.packed import compile_loops as kafka

    compile_loops()
    kafka.compile_loops()
    kafka.compile_otlp()
