import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.compiled import scan, words
from engine.compiled.jit import entry
from engine.compiled.scan import BEYOND_ASCII, NUL
from engine.compiled.session_key import hash_key
from engine.compiled.words import PAD, padded
from engine.records import NO_SESSION

PINNED = [-7020041275585444954, -246650370753487550, -3488251175263021097]
find_runs, hash_skeleton = entry(scan.find_runs.py_func), entry(scan.hash_skeleton.py_func)
hash_bytes, number_before = entry(scan.hash_bytes.py_func), entry(words.number_before.py_func)
SEEDS = np.uint64(7), np.uint64(11)
LINES = st.one_of(st.binary(max_size=200), st.text("0123456789ab -:", max_size=200).map(str.encode))


def scanned(line: bytes) -> tuple[list[int], int, tuple[int, int]]:
    data, edges = padded(line), np.zeros(300, np.int64)
    used, holds = find_runs(data, PAD, PAD + len(line), edges)
    found = hash_skeleton(data, PAD + len(line), edges, used, *SEEDS)
    return (edges[2:used] - PAD).tolist(), holds, (int(found[0]), int(found[1]))


@given(LINES)
def test_edges_are_the_spans_of_the_runs(line: bytes) -> None:
    edges, holds, _ = scanned(line)
    assert edges == [place for match in re.finditer(rb"[0-9]+", line) for place in match.span()]
    assert bool(holds & BEYOND_ASCII) == (not line.isascii())
    assert bool(holds & NUL) == (b"\0" in line)


@given(LINES, LINES)
def test_lines_hash_alike_if_and_only_if_their_skeletons_are_equal(one: bytes, other: bytes) -> None:
    def skeleton(line: bytes) -> bytes:
        return re.sub(rb"[0-9]+", b"0", line)

    assert (scanned(one)[2] == scanned(other)[2]) == (skeleton(one) == skeleton(other))
    assert scanned(one)[2] == scanned(re.sub(rb"[0-9]+", b"4711", one))[2]


@given(st.text("0123456789", min_size=1, max_size=18))
def test_numbers_are_read(digits: str) -> None:
    data = padded(f"7x{digits}8".encode())
    assert number_before(data, PAD + 2 + len(digits), len(digits)) == int(digits)


@given(st.binary(min_size=1, max_size=80))
def test_keys_hash_alike_compiled_and_not(key: bytes) -> None:
    found = int(np.uint64(hash_bytes(padded(key), PAD, PAD + len(key))).astype(np.int64))
    assert (found or 1) == hash_key(key)


def test_hashes_never_change_since_they_are_saved() -> None:
    assert hash_key(b"") == NO_SESSION
    assert [hash_key(b"blk_-1608999687919862906"), hash_key(b"a"), hash_key(b"x" * 100)] == PINNED


def test_similar_keys_do_not_collide() -> None:
    keys = {hash_key(f"blk_{sign}{i}".encode()) for i in range(50_000) for sign in ("", "-")}
    assert len(keys) == 100_000
    assert NO_SESSION not in keys
