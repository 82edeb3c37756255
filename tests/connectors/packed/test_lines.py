"""Lines out of messages: the compiled loops against Python's own `split`."""

import ctypes

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from connectors.kafka_library import _Header
from connectors.packed.gather import read_messages
from connectors.packed.lines import TextMessages
from connectors.packed.positions import LINE_BITS

MOST = 1 << LINE_BITS

_VALUES = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"\n", b"a", b"b" * 63, b"c" * 64, b"\r"]), max_size=40).map(b"".join),
)


def memory_of(values: list[bytes]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Addresses and sizes of payloads, and what they point into."""
    blob = np.frombuffer(b"".join(values), np.uint8)
    sizes = np.array(list(map(len, values)), np.int64)
    return blob.ctypes.data + np.cumsum(sizes) - sizes, sizes, blob


@given(st.lists(_VALUES, min_size=1, max_size=20), st.integers(0, 3))
def test_each_line_of_each_message_comes_out_with_its_position(values: list[bytes], first: int) -> None:
    first = min(first, len(values))
    addresses, sizes, _blob = memory_of(values)
    offsets = np.cumsum(np.arange(1, len(values) + 1))  # with gaps
    found = TextMessages("t/0").unpack(addresses[first:], sizes[first:], offsets[first:])
    lines, positions = [], []
    for offset, value in list(zip(offsets.tolist(), values, strict=True))[first:]:
        for index, line in enumerate(value.removesuffix(b"\n").split(b"\n")):
            lines.append(line)
            positions.append(offset << LINE_BITS | index)
    assert found.data == b"".join(line + b"\n" for line in lines)
    assert found.ends.tolist() == (np.cumsum([len(line) + 1 for line in lines]) - 1).tolist()
    assert found.positions.tolist() == positions
    assert not found.rejects


def test_lines_beyond_what_a_position_counts_are_one_dead_letter() -> None:
    values = [b"x" + b"\n" * MOST + b"rest\nof it\n", b"next"]
    addresses, sizes, _blob = memory_of(values)
    found = TextMessages("t/0").unpack(addresses, sizes, np.array([7, 8]))
    assert len(found.ends) == MOST + 1
    assert found.positions[[0, -2, -1]].tolist() == [7 << LINE_BITS, (7 << LINE_BITS) + MOST - 1, 8 << LINE_BITS]
    assert found.data.endswith(b"\n\nnext\n")
    (letter,) = found.rejects
    assert (letter.place, letter.raw, letter.raw_bytes) == (f"t/0/7#{MOST}", b"rest\nof it", 10)


@given(st.lists(st.booleans(), max_size=30))
def test_errors_are_sorted_behind_the_messages(errors: list[bool]) -> None:
    payload = ctypes.create_string_buffer(b"line")
    messages = [
        _Header(err=-191 if bad else 0, partition=3, payload=ctypes.addressof(payload), len=4, offset=i)
        for i, bad in enumerate(errors)
    ]
    pointers = np.array([ctypes.addressof(message) for message in messages], np.int64)
    columns = np.zeros((3, len(errors)), np.int64)
    good = read_messages(pointers, len(errors), 3, *columns)
    offsets = [_Header.from_address(pointer).offset for pointer in pointers.tolist()]
    assert good == errors.count(False)
    assert offsets[:good] == columns[2, :good].tolist() == [i for i, bad in enumerate(errors) if not bad]
    assert offsets[good:] == [i for i, bad in enumerate(errors) if bad]
    assert set(columns[1, :good].tolist()) <= {4}
    if good:
        assert read_messages(pointers, len(errors), 4, *columns) == -1
