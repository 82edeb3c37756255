import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.parsing.session_key import MAX_VECTOR_BYTES, hash_key, hash_keys
from engine.parsing.skeleton import PAD, Words, digit_flags, padded, run_edges, run_values, skeletons
from engine.records import NO_SESSION

PINNED = [-7020041275585444954, -246650370753487550, -3488251175263021097]
LINES = st.lists(st.binary(max_size=40).map(lambda b: re.sub(rb"[\n\xff]", b"7", b)), min_size=1, max_size=20)


@given(LINES)
def test_a_skeleton_has_one_zero_a_run(lines: list[bytes]) -> None:
    blob = padded(b"".join(line + b"\n" for line in lines))
    assert skeletons(blob, digit_flags(blob)) == [re.sub(rb"[0-9]+", b"0", line) for line in lines]


@given(LINES)
def test_edges_are_the_spans_of_the_runs(lines: list[bytes]) -> None:
    data = b"\n".join(lines)
    edges = run_edges(digit_flags(padded(data))) - PAD
    assert edges.reshape(-1, 2).tolist() == [list(m.span()) for m in re.finditer(rb"[0-9]+", data)]


@given(
    st.integers(1, 16).flatmap(lambda n: st.lists(st.integers(0, 10**n - 1), min_size=1, max_size=30)),
    st.integers(0, 5),
)
def test_run_values_read_what_is_written(numbers: list[int], zeros: int) -> None:
    texts = [(b"0" * zeros + str(n).encode())[-16:] for n in numbers]
    blob = padded(b"x".join(texts))
    edges = run_edges(digit_flags(blob))
    found = run_values(Words.of(blob), edges[1::2], edges[1::2] - edges[0::2])
    assert found.tolist() == [int(t) for t in texts]


@given(st.lists(st.binary(max_size=MAX_VECTOR_BYTES), min_size=1, max_size=30))
def test_keys_hash_alike_alone_and_together(keys: list[bytes]) -> None:
    blob = padded(b"".join(keys))
    ends = np.cumsum([len(k) for k in keys]) + PAD
    starts = ends - [len(k) for k in keys]
    assert hash_keys(Words.of(blob), starts, ends).tolist() == [hash_key(k) for k in keys]


def test_hashes_never_change_since_they_are_saved() -> None:
    assert hash_key(b"") == NO_SESSION
    assert [hash_key(b"blk_-1608999687919862906"), hash_key(b"a"), hash_key(b"x" * 100)] == PINNED


def test_similar_keys_do_not_collide() -> None:
    keys = {hash_key(f"blk_{sign}{i}".encode()) for i in range(50_000) for sign in ("", "-")}
    assert len(keys) == 100_000
    assert NO_SESSION not in keys
