"""No built-in pattern takes more than linear time, whatever a line repeats."""

import random
import re
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.findings.templates import canonical
from engine.formats.documents import parse_event_xml, parse_logfmt
from engine.formats.http_status import name_status
from engine.formats.linear_masks import LINEAR, SKIP, replacing
from engine.formats.masks import DEFAULT_MASKS, Mask, Masker
from engine.formats.registry import FORMATS
from engine.parsing.continuation import CONTINUATION, WITHIN
from engine.parsing.sanitize import clean_line
from tests.support.sweep import sweep

SHORT, LONG = 1 << 14, 1 << 20
MOST_S = 1e-6
"""CPU time that a byte may cost at any length: eight times what the slowest pattern needs. Where the cost is
quadratic a byte of a megabyte takes 50 times as much."""

Read = Callable[[bytes], object]


def text(function: Callable[[str], object]) -> Read:
    return lambda line: function(line.decode("utf-8", "replace"))


def readers(name: str) -> Iterator[tuple[str, Read]]:
    """The patterns of a format that read a line."""
    entry = FORMATS[name]
    if entry.header is not None:
        yield "header", entry.header.match
    for session, patterns in entry.sessions.items():
        for pattern in patterns:
            yield f"session rule {session}", re.compile(pattern).search
    for pattern in entry.clocks:
        yield "clock", re.compile(pattern).search
    for mask in entry.masks:
        yield f"mask {mask.name}", text(Masker((mask,)).mask)


def cost_s(read: Read, line: bytes) -> float:
    """CPU seconds, the least of three."""
    found = []
    for _ in range(3):
        started = time.thread_time()
        read(line)
        found.append(time.thread_time() - started)
        if found[-1] < MOST_S * len(line):
            break
    return min(found)


def assert_linear(read: Read, prefix: bytes, unit: bytes, suffix: bytes) -> None:
    """A byte costs little in a line of any length, up to a megabyte."""
    size = SHORT
    while size <= LONG:
        found = cost_s(read, prefix + unit * (size // len(unit)) + suffix)
        assert found < MOST_S * size, f"{found:.3f} s for {size} bytes of {unit!r} behind {prefix!r}"
        size *= 4


UNITS = (b"0", b"a", b"A", b" ", b":", b"@", b"/", b"\\", b'"', b'\\"', b"[", b"a:", b"a.", b"a1", b"0.", b"[a] ")


def parts(line: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Beginnings of a line, each with the piece that it ends with."""
    for piece in re.finditer(rb"[0-9]+|[A-Za-z]+|[^0-9A-Za-z]", line):
        yield line[: piece.end()], piece[0]


@pytest.mark.parametrize("name", [name for name, entry in FORMATS.items() if entry.header is not None])
def test_patterns_of_a_format_are_linear(name: str) -> None:
    """At every place of an example something is repeated; what costs more than 0.3 us a byte is looked at closely."""
    line = max(FORMATS[name].examples, key=len)[:100]
    tried = [(prefix, unit) for prefix, piece in parts(line) for unit in (piece, *UNITS)]
    for label, read in readers(name):
        for prefix, unit in random.Random(name + label).sample(tried, sweep(len(tried) // 8, len(tried))):
            started = time.thread_time()
            read(prefix + unit * (SHORT // len(unit)) + b"\x01")
            if time.thread_time() - started > SHORT * MOST_S / 3:
                assert_linear(read, prefix, unit, b"\x01")


XML = b"<Event><System>"
# fmt: off
WORST: dict[str, tuple[Read, bytes, bytes, bytes]] = {
    "xml provider": (parse_event_xml, XML, b"<Provider ", b""),
    "xml time": (parse_event_xml, XML, b"<TimeCreated ", b""),
    "xml process": (parse_event_xml, XML, b"<Execution ", b""),
    "xml event": (parse_event_xml, XML, b"<EventID ", b""),
    "xml data": (parse_event_xml, XML + b"<EventID>1</EventID>", b"<Data Name='x'", b""),
    "xml spaces": (parse_event_xml, XML + b"<EventID>1</EventID><Data", b" ", b""),
    "logfmt quotes": (parse_logfmt, b'a="', b"\\\\", b""),
    "logfmt key": (parse_logfmt, b"", b"a=", b'"'),
    "status": (text(name_status), b'"', b'\\"', b""),
    "trace": (CONTINUATION.match, b"", b" ", b"x"),
    "error": (WITHIN.match, b"", b"a.", b"!"),
    "escapes": (clean_line, b"", b"\x1b[", b""),
    "capitals": (text(canonical), b"", b"A", b""),
    "postgresql": (
        FORMATS["postgresql"].header.match, b"2024-03-10 06:25:01.123 UTC [4711] app", b"@", b"x",
    ),
    "postgresql_rds": (FORMATS["postgresql_rds"].header.match, b"2024-03-10 06:25:01 UTC:", b"@", b":x"),
    "android": (FORMATS["android"].header.match, b"03-17 16:13:38.819  1702  8671 D Power", b" ", b"x"),
    "thread": (re.compile(FORMATS["log4j"].sessions["thread"][0]).search, b"", b",1 [a", b""),
    "client": (re.compile(FORMATS["apache"].sessions["client"][0]).search, b"", b"[client ", b""),
    "surface": (text(Masker(FORMATS["android"].masks).mask), b"", b"Surface(name=", b""),
    "target": (text(Masker(FORMATS["proxifier"].masks).mask), b"", b"a", b""),
    "paths": (text(Masker(FORMATS["openstack"].masks).mask), b"", b"/", b""),
    **{f"default masks, {unit!r}": (text(Masker(DEFAULT_MASKS).mask), b"g", unit, b"g") for unit in (
        b"0", b"0.", b"a1", b"0-", b"0x", b"/", b"1.1.1.", b"blk_", b"a",
    )},
}
# fmt: on


@pytest.mark.parametrize("case", WORST)
def test_lines_made_to_be_slow_are_read_in_linear_time(case: str) -> None:
    assert_linear(*WORST[case])


PIECES = ("1", "22", ".", ",", "/", " ", ":", "a", "Surface(name=", "ComponentInfo{", "ws=", "null", "WorkSource{", "}",
          ")", " HTTP/1.1", " bytes", " (", " KB)", "1.2.3.4", "_", "-")  # fmt: skip


@pytest.mark.parametrize("pattern", LINEAR)
@given(message=st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
@example(message="1/2.3.4.5 12.3.4.5:6/7.8.9.1 /a//b HTTP/1.1/ HTTP/2.0")
def test_linear_masks_replace_what_the_originals_do(pattern: str, message: str) -> None:
    assert replacing(re.compile(LINEAR[pattern]), "<X>")(message) == re.sub(pattern, "<X>", message)


def test_every_linear_mask_stands_for_a_built_in_one() -> None:
    masks = {mask.pattern for entry in FORMATS.values() for mask in (*entry.masks, *DEFAULT_MASKS)}
    assert masks >= LINEAR.keys()


def test_values_leave_out_what_is_skipped() -> None:
    mask = Mask(pattern=r"/[^ ]+ HTTP/[0-9]+\.[0-9]+", name="PATH")
    assert SKIP in re.compile(LINEAR[mask.pattern]).groupindex
    assert Masker((mask,)).values("/a /b HTTP/1.1 /c") == [("PATH", "/b HTTP/1.1")]
