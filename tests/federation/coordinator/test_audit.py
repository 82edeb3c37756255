import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.coordinator import audit
from federation.coordinator.audit import AuditLog
from federation.errors import StorageError, TamperedError

NOW_NS = 1_769_860_800_250_000_000


def written(path, n=4):
    log = AuditLog(path, now_ns=lambda: NOW_NS)
    entries = [log.append(f"r{i}/published", "published", {"version": i, "figures": {"f1": 0.5}}) for i in range(n)]
    return log, entries


def test_entries_are_chained(tmp_path):
    log, entries = written(tmp_path / "audit.jsonl")
    assert log.verify() == entries
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [t["seq"] for t in lines] == [1, 2, 3, 4]
    assert [t["previous"] for t in lines] == ["0" * 64, *(e.sha256 for e in entries[:-1])]
    assert lines[0]["time"] == "2026-01-31T12:00:00.250Z"


def test_every_new_entry_is_logged_with_its_hash(tmp_path, caplog):
    caplog.set_level("INFO", "federation.coordinator.audit")
    log, entries = written(tmp_path / "audit.jsonl")
    log.append("r1/published", "published", {})
    assert [record.sha256 for record in caplog.records] == [entry.sha256 for entry in entries]


def test_the_same_entry_is_written_once(tmp_path):
    log, entries = written(tmp_path / "audit.jsonl")
    before = (tmp_path / "audit.jsonl").read_bytes()
    assert log.append("r1/published", "published", {"version": 999}) == entries[1]
    assert (tmp_path / "audit.jsonl").read_bytes() == before


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_of_a_byte_is_found(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    log, _ = written(path, 3)
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255).filter(lambda b: b != raw[at]))
    path.write_bytes(raw)
    with pytest.raises(TamperedError, match=r"audit\.jsonl"):
        log.verify()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: lines[:1] + lines[2:], "line 2 does not follow"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1 does not follow"),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], "line 3 does not follow"),
        (lambda lines: lines[:-1], "entry 4 is missing; the log ends at 3"),
        (lambda lines: [], "the log ends at 0"),
        (lambda lines: [*lines[:3], lines[3].replace(b'"event":', b'"event": ')], "line 4 is not in its original form"),
        (lambda lines: [*lines[:3], lines[3][:-10]], "the last line is incomplete"),
        (lambda lines: [*lines[:3], b"{}\n"], "line 4 is not in its original form"),
    ],
)
def test_what_was_done_to_the_log_is_told(tmp_path, change, says):
    path = tmp_path / "audit.jsonl"
    log, entries = written(path)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(TamperedError, match=says):
        log.verify((4, entries[-1].sha256))


def test_a_log_written_anew_is_found_by_its_head(tmp_path):
    path = tmp_path / "audit.jsonl"
    log, entries = written(path)
    path.unlink()
    other = AuditLog(path, now_ns=lambda: NOW_NS + 10**9)
    for i in range(4):
        other.append(f"r{i}/published", "published", {"version": i})
    assert log.verify() != entries
    with pytest.raises(TamperedError, match="was rewritten"):
        log.verify((4, entries[-1].sha256))


def test_what_a_crash_left_half_written_is_cut_off_by_the_next_entry(tmp_path):
    path = tmp_path / "audit.jsonl"
    log, entries = written(path)
    for torn in (b"{", path.read_bytes().splitlines()[-1][:40]):
        path.write_bytes(path.read_bytes() + torn)
        entries.append(log.append(f"after {torn!r}", "published", {}))
        assert log.verify() == entries


def test_nothing_is_added_to_a_broken_log(tmp_path):
    path = tmp_path / "audit.jsonl"
    log, _ = written(path)
    broken = path.read_bytes().replace(b'"version":1', b'"version":7')
    path.write_bytes(broken)
    with pytest.raises(TamperedError, match="line 2 was changed"):
        AuditLog(path, now_ns=lambda: NOW_NS).append("new", "published", {})
    assert path.read_bytes() == broken
    path.write_bytes(broken.replace(b'"version":3', b'"version":8'))
    with pytest.raises(TamperedError, match="line 2 was changed"):
        log.append("new", "published", {})  # its own last line is another one: it examines everything


def test_an_append_reads_what_was_added_since_the_last_one_only(tmp_path, monkeypatch):
    path = tmp_path / "audit.jsonl"
    log, _ = written(path, 300)
    read = []
    monkeypatch.setattr(
        audit, "_digest", lambda entry, digest=audit._digest: read.append(entry["seq"]) or digest(entry)
    )
    log.append("new", "published", {})
    assert read == [301]
    other = AuditLog(path, now_ns=lambda: NOW_NS)
    other.append("other", "published", {})
    read.clear()
    assert log.append("other", "published", {"version": 9}).seq == 302
    assert log.append("new", "published", {}).seq == 301
    assert log.append("r7/published", "published", {}).seq == 8
    assert read == [302]
    assert [e.seq for e in log.verify()] == list(range(1, 303)), "the whole log is looked at"
    assert len(read) == 303


@pytest.mark.parametrize("cut", [lambda raw: b"", lambda raw: raw[: raw.rfind(b"\n", 0, -1) + 1]])
def test_nothing_is_added_to_a_log_that_was_cut_while_it_is_open(tmp_path, cut):
    path = tmp_path / "audit.jsonl"
    log, _ = written(path)
    whole = path.read_bytes()
    path.write_bytes(cut(whole))
    for _ in range(2):
        with pytest.raises(TamperedError, match="entry 4 is missing"):
            log.append("new", "published", {})
    assert path.read_bytes() == cut(whole)


def test_a_log_that_was_put_back_from_a_copy_goes_on(tmp_path):
    path = tmp_path / "audit.jsonl"
    log, _ = written(path)
    (tmp_path / "copy").write_bytes(path.read_bytes())
    (tmp_path / "copy").replace(path)
    assert log.append("new", "published", {}).seq == 5
    assert len(log.verify()) == 5


def test_two_writers_of_one_log_make_one_chain(tmp_path):
    logs = [AuditLog(tmp_path / "audit.jsonl", now_ns=lambda: NOW_NS) for _ in range(2)]
    for i in range(10):
        logs[i % 2].append(f"e{i}", "published", {"i": i})
    assert [e.body["i"] for e in logs[0].verify()] == list(range(10))


def test_an_entry_that_could_not_be_brought_to_the_disk_is_there_once_at_the_next_try(tmp_path, monkeypatch):
    log, _ = written(tmp_path / "audit.jsonl")
    faults = [OSError(5, "Input/output error")]
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(faults.pop()) if faults else sync(file))
    with pytest.raises(StorageError, match="cannot be written"):
        log.append("new", "published", {})
    assert log.append("new", "published", {}).seq == 5
    assert len(log.verify()) == 5


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(StorageError, match=r"audit log .*audit\.jsonl cannot be written"):
        AuditLog(tmp_path / "audit.jsonl", now_ns=lambda: 0).append("a", "b", {})


def test_an_empty_log_is_no_tampering(tmp_path):
    assert AuditLog(tmp_path / "none.jsonl", now_ns=lambda: 0).verify() == []
