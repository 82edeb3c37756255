"""The compiled scan takes linear time, whatever a line repeats: what would take longer is left to `re`."""

from functools import cache

import numpy as np
import pytest

from engine.compiled.memory import LineMemory
from engine.compiled.read import read_lines
from engine.compiled.tables import ClockTables
from engine.compiled.words import PAD, padded
from engine.formats.registry import FORMATS
from engine.parsing.compile_loops import compile_loops
from engine.parsing.format_tables import FormatTables
from engine.parsing.parse_settings import ParseSettings
from engine.parsing.parsed_columns import Rows
from engine.parsing.template_rules import template_rules
from tests.engine.formats.test_linear import LONG, MOST_S, SHORT, WORST, Read, assert_linear, cost_s, parts

FEW_UNITS = (b"0", b" ", b"a", b"a1", b"/")
HEADED = tuple(name for name, entry in FORMATS.items() if entry.header is not None)


@cache
def memory() -> LineMemory:
    compile_loops()
    return LineMemory(2 * LONG)


@cache
def reader(names: tuple[str, ...]) -> Read:
    """Reads one line by the compiled scan as if no line had been read before."""
    entries = [FORMATS[name] for name in names]
    settings = [ParseSettings(format=name) for name in names]
    tables = FormatTables(
        entries,
        [each.session_rule(entry) for each, entry in zip(settings, entries, strict=True)],
        [template_rules(entry, each).masks for each, entry in zip(settings, entries, strict=True)],
        [list(range(len(names)))],
    ).tables
    times = settings[0].times()
    clock, known = ClockTables(times.limits(0), times.offsets.quarters, times.offsets.seconds), memory()

    def read(line: bytes) -> None:
        known.known.counts[:] = 0
        known.known.table[:] = 0
        known.known.text_table[:] = 0
        known.make_room()
        columns = Rows.empty(1).columns()
        ends = np.array([len(line)], np.int64)
        assert read_lines(tables, known.known, known.room, clock, padded(line), ends, PAD, 0, 1, 0, columns) == 1

    return read


@pytest.mark.parametrize("name", HEADED)
def test_the_scan_of_a_format_is_linear(name: str) -> None:
    """At every place of an example something is repeated; what costs more than 0.3 us a byte is looked at closely."""
    line = max(FORMATS[name].examples, key=len)[:100]
    read = reader((name,))
    for prefix, piece in parts(line):
        for unit in (piece, *FEW_UNITS):
            if cost_s(read, prefix + unit * (SHORT // len(unit)) + b"\x01") > SHORT * MOST_S / 3:
                assert_linear(read, prefix, unit, b"\x01")


@pytest.mark.parametrize("case", WORST)
def test_lines_made_to_be_slow_are_scanned_in_linear_time(case: str) -> None:
    _, prefix, unit, suffix = WORST[case]
    for names in (HEADED, ("raw",)):
        assert_linear(reader(names), prefix, unit, suffix)
