"""Frames: what is sent arrives, and nothing that is sent can make the reader wait or allocate without bound."""

import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import TrainerError
from federation.region import framing as wire

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@given(header=st.dictionaries(st.text(), st.integers() | st.text() | st.none()), body=st.binary(max_size=5000))
def test_a_frame_arrives_as_it_was_sent(header: dict[str, int | str | None], body: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.send(ours, wire.Frame(header, body), 5)
        assert wire.receive(theirs, 5) == wire.Frame(header, body)


def test_frames_do_not_run_into_each_other(pair: Pair) -> None:
    for n in range(3):
        wire.send(pair[0], wire.Frame({"n": n}, bytes([n]) * n), 5)
    assert [wire.receive(pair[1], 5).body for _ in range(3)] == [b"", b"\x01", b"\x02\x02"]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", "is no frame"),
        (struct.pack(">4sIQ", wire.MAGIC, 2, 1 << 40), "over the bound of 1000"),
        (struct.pack(">4sIQ", wire.MAGIC, 1 << 31, 0), "over the bound of 65536"),
        (struct.pack(">4sIQ", wire.MAGIC, 2, 0) + b"[]", "should be a table of keys"),
        (struct.pack(">4sIQ", wire.MAGIC, 3, 0) + b"{,}", "is no JSON"),
        (struct.pack(">4sIQ", wire.MAGIC, 2, 100) + b"{}abc", "closed the socket after 3 of 100 bytes"),
        (b"DLF", "closed the socket after 3 of 16 bytes"),
    ],
)
def test_what_is_no_frame_is_refused(pair: Pair, raw: bytes, says: str) -> None:
    pair[0].sendall(raw)
    pair[0].shutdown(socket.SHUT_WR)
    with pytest.raises(TrainerError, match=says):
        wire.receive(pair[1], 5, max_body_bytes=1000)


def test_a_sender_that_stops_in_the_middle_is_not_waited_for(pair: Pair) -> None:
    pair[0].sendall(struct.pack(">4sIQ", wire.MAGIC, 2, 100) + b"{}abc")
    with pytest.raises(TrainerError, match="only 3 of 100 bytes of a frame arrived in time"):
        wire.receive(pair[1], 0.05)


def test_a_reader_that_takes_nothing_is_not_waited_for(pair: Pair) -> None:
    with pytest.raises(TrainerError, match=r"took nothing for 0\.05 s"):
        wire.send(pair[0], wire.Frame({}, bytes(50_000_000)), 0.05)


def test_a_frame_over_the_bound_is_not_sent(pair: Pair) -> None:
    with pytest.raises(TrainerError, match="header of 70010 bytes is over the bound"):
        wire.send(pair[0], wire.Frame({"k": "x" * 70_001}), 1)
