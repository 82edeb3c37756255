r"""Compiled loops from librdkafka's messages to lines.

`read_messages` notes where the payload of each message is; `gather_lines` copies payloads into one blob of
lines; `free_messages` gives the messages back.
"""

from typing import Any

from connectors.packed.loops import entry, loop
from connectors.packed.pointers import call_with_pointer, copy_bytes, load_int32, load_int64
from connectors.packed.positions import LINE_BITS

# Byte offsets in `rd_kafka_message_t` on 64-bit machines; the struct is part of librdkafka's public interface.
_ERROR, _PARTITION, _PAYLOAD, _SIZE, _OFFSET = 0, 16, 24, 32, 56

_BLOCK = 64
"""Bytes that are searched for a line end at once."""

_Int = Any
_Int64s = Any
_Bytes = Any


@entry
def read_messages(
    pointers: _Int64s, count: int, partition: int, addresses: _Int64s, sizes: _Int64s, offsets: _Int64s
) -> int:
    """Fills the three columns; returns how many messages are real, or -1 if one is of another partition.

    The pointers of the real messages come first afterwards, in their order, and those of errors behind them.
    """
    good = 0
    for i in range(count):
        message = pointers[i]
        if load_int32(message + _ERROR) != 0:
            continue
        if load_int32(message + _PARTITION) != partition:
            return -1
        addresses[good] = load_int64(message + _PAYLOAD)
        sizes[good] = load_int64(message + _SIZE)
        offsets[good] = load_int64(message + _OFFSET)
        for j in range(i, good, -1):  # does nothing where no error comes first
            pointers[j] = pointers[j - 1]
        pointers[good] = message
        good += 1
    return good


@entry
def free_messages(pointers: _Int64s, count: int, destroy: int) -> None:
    """Calls `rd_kafka_message_destroy`, which is at the address `destroy`, for each message."""
    for i in range(count):
        call_with_pointer(destroy, pointers[i])


@loop
def line_end(out: _Bytes, at: _Int, stop: _Int) -> _Int:
    """The place of the next line end before `stop`, or `stop`."""
    while at < stop:
        block = min(at + _BLOCK, stop)
        found = False
        for i in range(at, block):
            found |= out[i] == 10
        if found:
            while out[at] != 10:
                at += 1
            return at
        at = block
    return stop


@entry
def gather_lines(
    addresses: _Int64s, sizes: _Int64s, offsets: _Int64s,
    out: _Bytes, out_address: int, ends: _Int64s, positions: _Int64s, cut: _Int64s, totals: _Int64s,
) -> int:  # fmt: skip
    r"""Copies the lines of messages into `out`, each closed by one `\n`.

    Args:
        addresses: Int64 (n,): where each payload is.
        sizes: Int64 (n,): its bytes.
        offsets: Int64 (n,): its offset in the partition.
        out: Room for all payloads and one byte more each.
        out_address: Where `out` is.
        ends: Filled with the end of each line in `out`.
        positions: Filled with `offset << LINE_BITS | line`.
        cut: Int64 (n,): filled with the start of what a message holds beyond `1 << LINE_BITS` lines, or -1.
        totals: Filled with the bytes in `out`, and how many messages were cut.

    Returns:
        How many lines; -1 where `ends` is too short.
    """
    at, line, room, most = 0, 0, len(ends), 1 << LINE_BITS
    totals[1] = 0
    for message in range(len(addresses)):
        cut[message] = -1
        begin, index = at, 0
        stop = at + sizes[message]
        position = offsets[message] << LINE_BITS
        copy_bytes(out_address + at, addresses[message], sizes[message])
        if stop > at and out[stop - 1] == 10:
            stop -= 1
        while True:
            if line == room:
                return -1
            end = line_end(out, at, stop)
            ends[line] = end
            positions[line] = position + index
            line += 1
            index += 1
            at = end + 1
            if end == stop:
                out[stop] = 10
                break
            if index == most:
                cut[message] = at - begin
                totals[1] += 1
                break
    totals[0] = at
    return line
