"""What is sent arrives, and nothing that is sent makes the reader wait or allocate without bound."""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import TrainerError
from federation.region.trainer_connection import TrainerConnection, connect

Pair = tuple[socket.socket, TrainerConnection]
STALL_S = 0.05


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, TrainerConnection(theirs, stall_s=STALL_S) as channel:
        yield ours, channel


def framed(*parts: bytes) -> bytes:
    return b"".join(struct.pack("!i", len(part)) + part for part in parts)


@given(header=st.dictionaries(st.text(), st.integers() | st.text() | st.none()), body=st.binary(max_size=5000))
def test_a_message_arrives_as_it_was_sent(header: dict[str, int | str | None], body: bytes) -> None:
    ours, theirs = socket.socketpair()
    with TrainerConnection(ours) as one, TrainerConnection(theirs) as other:
        one.send(header, body)
        assert other.receive(5) == (header, body)


def test_messages_do_not_run_into_each_other() -> None:
    ours, theirs = socket.socketpair()
    with TrainerConnection(ours) as one, TrainerConnection(theirs) as other:
        for n in range(3):
            one.send({"n": n}, bytes([n]) * n)
        assert [other.receive(5) for _ in range(3)] == [({"n": 0}, b""), ({"n": 1}, b"\x01"), ({"n": 2}, b"\x02\x02")]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", "bad message length"),
        (framed(b"{}") + struct.pack("!iQ", -1, 1 << 40), "bad message length"),
        (struct.pack("!i", 1 << 30), "bad message length"),
        (struct.pack("!iQ", -1, 1 << 40), "bad message length"),
        (framed(b"[]", b""), "should be a JSON object"),
        (framed(b"{,}", b""), "should be a JSON object"),
        (framed(b"\xff", b""), "should be a JSON object"),
        (framed(b"{}") + struct.pack("!i", 100) + b"abc", "got end of file during message"),
        (b"\x00\x00", "got end of file during message"),
        (b"", "closed the socket"),
    ],
)
def test_an_invalid_message_is_refused(pair: Pair, raw: bytes, reason: str) -> None:
    pair[0].sendall(raw)
    pair[0].shutdown(socket.SHUT_WR)
    with pytest.raises(TrainerError, match=reason):
        pair[1].receive(5)


def test_a_sender_that_stops_within_a_message_is_not_waited_for(pair: Pair) -> None:
    pair[0].sendall(framed(b"{}") + struct.pack("!i", 100) + b"abc")
    with pytest.raises(TrainerError, match=r"made no progress for 0\.05 s"):
        pair[1].receive(5)


def test_a_sender_that_sends_nothing_is_not_waited_for(pair: Pair) -> None:
    with pytest.raises(TrainerError, match=r"sent nothing for 0\.01 s"):
        pair[1].receive(0.01)


def test_a_reader_that_reads_nothing_is_not_waited_for(pair: Pair) -> None:
    with pytest.raises(TrainerError, match=r"made no progress for 0\.05 s"):
        pair[1].send({}, bytes(50_000_000))


def test_a_reader_that_is_gone_is_reported(pair: Pair) -> None:
    pair[0].close()
    with pytest.raises(TrainerError, match="the other side of the socket failed"):
        pair[1].send({}, bytes(5_000_000))


def test_without_a_listener_there_is_no_channel(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="no trainer listens on"):
        connect(tmp_path / "no.sock")
