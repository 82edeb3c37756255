"""Bad lines through the whole engine: each is reported, and no other line is lost."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.process

LINES = 10_000
LINE_BITS = 20

SAMPLE = "081110 120000 1 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_77 terminating"
BAD: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xfe\x00 no text at all", ""),
    (b"081110 120000 1 INFO \x00\x00", ""),
    (b"x" * 10_000_000, "bytes"),
    (b"Nov 10 12:00:00 host sshd[1]: of another format", "hdfs"),
    (SAMPLE.replace("081110", "700101").encode(), "1990"),
    (b"081110 126100 1 INFO dfs.DataNode: no such second blk_77", ""),
    (b'{"not": "a log line"}', ""),
)
"""Lines, and a word of the reason given for each."""


def _mix(lines: list[bytes]) -> tuple[list[bytes], dict[int, str], list[int]]:
    """Bad lines among good ones: the whole, word of the reason by index, and the index of each good line."""
    whole: list[bytes] = []
    bad: dict[int, str] = {}
    good: list[int] = []
    every = len(lines) // (3 * len(BAD))
    for i, line in enumerate(lines):
        if i % every == 0 and i // every < 2 * len(BAD):
            raw, word = BAD[(i // every) % len(BAD)]
            bad[len(whole)] = word
            whole.append(raw)
        good.append(len(whole))
        whole.append(line)
    return whole, bad, good


def test_bad_lines_in_a_file(
    launch: Any, log_lines: Any, expected: Any, documents: Any, agree: Any, tmp_path: Path
) -> None:
    whole, bad, good = _mix(log_lines(LINES))
    log = tmp_path / "app.log"
    log.write_bytes(b"".join(line + b"\n" for line in whole))
    starts = [0]
    for line in whole:
        starts.append(starts[-1] + len(line) + 1)
    engine = launch({"type": "file", "paths": [str(log)]}, [{"type": "jsonl", "path": str(tmp_path / "alerts.jsonl")}])
    assert engine.end() == 0
    letters = {letter["place"]: letter for letter in documents(tmp_path / "dead.jsonl")}
    assert set(letters) == {f"{log}, line {i + 1}, byte {starts[i]}" for i in bad}
    for i, word in bad.items():
        letter = letters[f"{log}, line {i + 1}, byte {starts[i]}"]
        assert word in letter["reason"]
        assert letter["raw_bytes"] == len(whole[i])
        assert len(letter["raw"]) <= 4 * 4096
    wanted = expected([whole[i] for i in good], str(log), lambda i: starts[good[i]], at_end=True)
    agree(documents(tmp_path / "alerts.jsonl"), wanted, once=True)


def test_bad_messages_on_a_topic(
    broker: Any, new_topic: Any, launch: Any, log_lines: Any, expected: Any, until: Any, produce: Any, documents: Any,
    agree: Any, tmp_path: Path,
) -> None:  # fmt: skip
    lines = log_lines(LINES)
    whole, bad, good = _mix(lines)
    small = [b"y" * 900_000 if len(line) > 900_000 else line for line in whole]  # as large as a message may be
    topic = new_topic()
    for tombstone in (100, 200):
        bad = {i + (i >= tombstone): word for i, word in bad.items()} | {tombstone: ""}
        good = [i + (i >= tombstone) for i in good]
        small.insert(tombstone, None)
    produce(broker.brokers, topic, small)
    engine = launch(
        {"type": "kafka", "brokers": broker.brokers, "topic": topic, "max_line_bytes": 65_536},
        [{"type": "jsonl", "path": str(tmp_path / "alerts.jsonl")}],
    )
    wanted = expected([small[i] for i in good], f"{topic}/0", lambda i: good[i] << LINE_BITS)
    until(lambda: len(documents(tmp_path / "alerts.jsonl")) >= len(wanted), "all alerts")
    until(lambda: engine.metric("driftline_bad_lines_total") >= len(bad), "bad lines are counted")
    assert engine.metric("driftline_bad_lines_total") == len(bad)
    assert engine.drain() == 0
    letters = {letter["place"]: letter["reason"] for letter in documents(tmp_path / "dead.jsonl")}
    assert set(letters) == {f"{topic}/0/{i}" for i in bad}
    assert all(letters.values())
    agree(documents(tmp_path / "alerts.jsonl"), wanted, once=True)


def test_lines_out_of_time(
    launch: Any, log_lines: Any, expected: Any, documents: Any, agree: Any, tmp_path: Path
) -> None:
    """Of another time, twice, and swapped: nothing of it disturbs another session."""
    lines = log_lines(LINES)
    stray = [
        SAMPLE.replace("081110", "450101").encode(),
        b"081109 000000 1 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_88 terminating",
    ]
    whole = [*lines[:5_000], *stray, lines[4_999], lines[5_001], lines[5_000], *lines[5_002:]]
    log = tmp_path / "app.log"
    log.write_bytes(b"".join(line + b"\n" for line in whole))
    starts = [0]
    for line in whole:
        starts.append(starts[-1] + len(line) + 1)
    engine = launch({"type": "file", "paths": [str(log)]}, [{"type": "jsonl", "path": str(tmp_path / "alerts.jsonl")}])
    assert engine.end() == 0
    letters = {letter["place"]: letter["reason"] for letter in documents(tmp_path / "dead.jsonl")}
    assert set(letters) == {f"{log}, line {i + 1}, byte {starts[i]}" for i in (5_000, 5_001)}
    assert "late by" in letters[f"{log}, line 5002, byte {starts[5_001]}"]
    good = [*range(5_000), *range(5_002, len(whole))]
    wanted = expected([whole[i] for i in good], str(log), lambda i: starts[good[i]], at_end=True)
    agree(documents(tmp_path / "alerts.jsonl"), wanted, once=True)
    touched = {line.split(b"blk_")[1].split()[0].decode() for line in lines[4_999:5_002]}
    plain = expected(lines, str(log), lambda i: i, at_end=True)
    assert {a.session for a in plain.values()} ^ {a.session for a in wanted.values()} <= {f"blk_{t}" for t in touched}


def test_one_line_from_the_year_2999(launch: Any, log_lines: Any, documents: Any, tmp_path: Path) -> None:
    """Taken at its word it would end every open window."""
    lines = [
        json.dumps({"time": 1_226_300_000 + i // 10, "message": line.decode()[14:], "block": key[0]}).encode()
        for i, line in enumerate(log_lines(LINES))
        if (key := re.findall("blk_-?[0-9]+", line.decode()))
    ]
    future = b'{"time": "2999-12-31T23:59:59Z", "message": "from afar", "block": "blk_1"}'
    found = []
    for name, content in (("without", lines), ("with", [*lines[:5_000], future, *lines[5_000:]])):
        log = tmp_path / "app.log"
        log.write_bytes(b"".join(line + b"\n" for line in content))
        engine = launch(
            {"type": "file", "paths": [str(log)]}, [{"type": "jsonl", "path": str(tmp_path / name)}],
            parse={"format": "json", "json_fields": {"session": ["block"]}}, decide={"threshold": 0.0},
            recovery={"path": str(tmp_path / f"{name}-recovery")},
        )  # fmt: skip
        assert engine.end() == 0
        found.append([(d["session"], d["score"], d["line_count"], d["first_time"]) for d in documents(tmp_path / name)])
    assert len(found[0]) > 100
    assert found[0] == found[1]
    (letter,) = documents(tmp_path / "dead.jsonl")
    assert letter["place"] == f"{tmp_path / 'app.log'}, line 5001, byte {sum(len(line) + 1 for line in lines[:5_000])}"
    assert "2999" in letter["reason"] or "ahead" in letter["reason"] or "future" in letter["reason"]
