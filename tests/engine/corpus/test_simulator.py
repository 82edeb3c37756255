import re
from itertools import pairwise

import pytest

from engine.corpus.simulator import simulate

HEADER = re.compile(rb"\d{6} \d{6} \d+ (INFO|WARN) dfs\.[\w$]+: \S.*")
BLOCK = re.compile(rb"blk_-?\d+")


def test_lines_are_hdfs_lines_in_time_order() -> None:
    lines = simulate(3_000, seed=1).data.splitlines()
    assert len(lines) == 3_000
    assert all(HEADER.fullmatch(line) for line in lines)
    assert all(a[:13] <= b[:13] for a, b in pairwise(lines))


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert simulate(500, seed=5) == simulate(500, seed=5)
    assert simulate(500, seed=5).data != simulate(500, seed=6).data


def test_labels_are_of_the_blocks_in_the_log() -> None:
    log = simulate(3_000, seed=2)
    assert {match.decode() for match in BLOCK.findall(log.data)} == set(log.labels)


def test_a_block_is_labelled_only_where_its_failure_is_in_the_log() -> None:
    log = simulate(5_000, seed=2, anomaly_share=0.2)
    failure = re.compile(rb"xception|Interrupted|not belong|Unexpected|timed out")
    lines = [line for line in log.data.splitlines() if b"trying again" not in line]
    failed = {m.decode() for line in lines if failure.search(line) for m in BLOCK.findall(line)}
    assert failed == {block for block, label in log.labels.items() if label}
    assert len(failed) > 20


def test_share_of_anomalies() -> None:
    assert not any(simulate(2_000, anomaly_share=0).labels.values())
    labels = simulate(20_000, anomaly_share=0.1).labels.values()
    assert 0.05 < sum(labels) / len(labels) < 0.15


def test_the_release_changes_messages_midway() -> None:
    log = simulate(10_000, seed=4)
    lines = log.data.splitlines()
    assert 3_500 < log.release_line < 6_500
    before, after = lines[: log.release_line], lines[log.release_line :]
    assert not any(b"Opening pipeline" in line or b"Checksum of" in line for line in before)
    assert not any(b"Receiving block" in line for line in after)
    assert any(b"Checksum of" in line for line in after)
    retried = {BLOCK.findall(line)[0].decode() for line in lines if b"trying again" in line}
    assert retried == {BLOCK.findall(line)[0].decode() for line in after if b"trying again" in line}
    assert sum(log.labels[block] for block in retried) < 0.2 * len(retried)


def test_without_a_release_nothing_changes() -> None:
    log = simulate(2_000, release_at=1)
    assert log.release_line == 2_000
    assert b"Opening pipeline" not in log.data


@pytest.mark.parametrize(
    "arguments", [{"lines": 0}, {"lines": 9, "anomaly_share": 2.0}, {"lines": 9, "release_at": -1.0}]
)
def test_arguments_out_of_range(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        simulate(**arguments)  # type: ignore[arg-type]
