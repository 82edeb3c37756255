"""SQL store, JSON-lines files, dead letters, registry: what the contract does not cover."""

import json
import os
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from connectors.base import DeadLetter, Record, SettingsError, SinkUnavailableError
from connectors.checks import records
from connectors.dead_letters import to_records
from connectors.jsonl import JsonlSettings, JsonlSink
from connectors.memory import ABORT, EOF, FAIL, AbortedError, MemorySource
from connectors.registry import SINKS, SOURCES, SinkSettings, SourceSettings, build_sink, build_source
from connectors.sql import SqlSink
from connectors.sql_settings import SqlSettings


def sqlite(folder: Path) -> SqlSink:
    sink = SqlSink(SqlSettings(url=f"sqlite:///{folder}/sub/alerts.db"))
    sink.open(None)
    return sink


@pytest.fixture
def rotating(tmp_path):
    """A sink that rotates as its settings say, with the clock that it reads, from the state of one before."""
    clock = [1_800_000_000.0]

    def make(resume=None, **settings):
        sink = JsonlSink(JsonlSettings(path=str(tmp_path / "a.jsonl"), **settings), lambda: clock[0])
        sink.open(resume)
        return sink

    make.clock = clock
    return make


def written(sink, *numbers):
    for number in numbers:
        sink.write([Record(str(number), "", {"id": str(number)})])
    sink.flush(1.0)
    return sink.snapshot()


def files(tmp_path):
    """The ids in each file, the newest file last."""
    paths = sorted(tmp_path.glob("a.jsonl*"), key=lambda path: (path.name == "a.jsonl", path.name))
    return [[json.loads(line)["id"] for line in path.read_bytes().splitlines()] for path in paths]


def test_a_large_file_is_renamed_and_the_oldest_are_deleted(rotating, tmp_path):
    sink = rotating(rotate_bytes=20, keep_files=2)
    for number in range(8):
        written(sink, number)
        rotating.clock[0] += 1.0
    assert files(tmp_path) == [["4", "5"], ["6", "7"], []]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("a.jsonl*")} == {0o640}
    sink.close()


def test_an_old_file_is_renamed_also_after_a_restart(rotating, tmp_path):
    sink = rotating(rotate_hours=2.0)
    state = written(sink, 1)
    sink.close()
    rotating.clock[0] += 3_600
    sink = rotating(state, rotate_hours=2.0)
    state = written(sink, 2)
    assert files(tmp_path) == [["1", "2"]]
    rotating.clock[0] += 3_600
    written(sink, 3)
    assert files(tmp_path) == [["1", "2", "3"], []]
    rotating.clock[0] += 90_000
    sink.snapshot()  # an empty file stays
    assert files(tmp_path) == [["1", "2", "3"], []]
    sink.close()


def test_renamed_files_are_deleted_by_their_age(rotating, tmp_path):
    rotating.clock[0] = tmp_path.stat().st_mtime
    sink = rotating(rotate_bytes=1, keep_days=1.0)
    written(sink, 1)
    (old,) = tmp_path.glob("a.jsonl.*")
    os.utime(old, (rotating.clock[0] - 90_000,) * 2)
    rotating.clock[0] += 1.0
    written(sink, 2)
    assert files(tmp_path) == [["2"], []]
    sink.close()


def test_files_that_others_renamed_or_copied_stay(rotating, tmp_path):
    for name in ("a.jsonl.1", "a.jsonl-2026.gz", "a.jsonl.20261101"):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / "a.jsonl.20200101T000000-000000.gz").write_bytes(b"")
    sink = rotating(rotate_bytes=1, keep_files=1, keep_days=30.0)
    rotating.clock[0] = tmp_path.stat().st_mtime
    written(sink, 1)
    names = {path.name for path in tmp_path.iterdir()}
    assert names > {"a.jsonl", "a.jsonl.1", "a.jsonl-2026.gz", "a.jsonl.20261101"}
    assert len(names) == 5
    assert "a.jsonl.20200101T000000-000000.gz" not in names
    sink.close()


@pytest.mark.parametrize("saved", [0, 1, 2])
def test_a_crash_around_a_rotation_repeats_and_loses_nothing(rotating, tmp_path, saved):
    """The state of an earlier snapshot is the newest one; what was written since comes again."""
    sink = rotating(rotate_bytes=20)
    states = [sink.snapshot(), written(sink, 0), written(sink, 1), written(sink, 2)]
    sink.close()
    again = rotating(states[saved], rotate_bytes=20)
    written(again, *range(saved, 5))
    assert sorted(n for names in files(tmp_path) for n in names) == ["0", "1", "2", "3", "4"]
    again.close()


def test_a_file_that_cannot_be_renamed_is_written_further(rotating, tmp_path, monkeypatch, caplog):
    sink = rotating(rotate_bytes=1)

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "rename", refuse)
    written(sink, 1)
    written(sink, 2)
    assert files(tmp_path) == [["1", "2"]]
    assert "cannot be rotated, and is written further: Operation not permitted" in caplog.text
    sink.close()


def test_alerts_are_stored_once_and_read_back(tmp_path: Path) -> None:
    sink = sqlite(tmp_path)
    document = {"id": "a", "region": "eu", "score": 0.5, "session": "nul\x00", "created": "2024", "extra": [1, "\x00"]}
    sink.write([Record("a", "", {**document, "score": 0.1}), Record("b", "", {"id": "b", "created": "2023"})])
    sink.flush(5)
    sink.write([Record("a", "", document)])
    sink.flush(5)
    assert sink.count() == 2
    assert sink.recent(1) == [document]
    sink.close()
    with pytest.raises(SinkUnavailableError, match="not open"):
        sink.recent()


def test_bad_urls_are_refused_without_showing_them() -> None:
    for url in ("nonsense hush", "mysql://u:hush@h/d"):
        with pytest.raises(SettingsError) as caught:
            SqlSink(SqlSettings(url=url))
        assert "hush" not in str(caught.value)
    sink = SqlSink(SqlSettings(url="postgresql://u:hush@127.0.0.1:1/d"))
    with pytest.raises(SinkUnavailableError, match=r"postgresql\+psycopg://u:\*\*\*@127\.0\.0\.1:1/d") as refused:
        sink.open(None)
    assert "hush" not in str(refused.value)


def test_torn_last_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id":"r000000"}\n{"id":"r0')
    sink = JsonlSink(JsonlSettings(path=str(path)))
    sink.open({"bytes": 0})
    sink.write(records(0, 2))
    sink.flush(1)
    assert [json.loads(line)["id"] for line in path.read_bytes().splitlines()] == ["r000000", "r000001"]
    sink.close()


def test_of_a_file_of_another_writer_only_its_part_is_read(tmp_path: Path) -> None:
    lines = [b'{"id": "%d"}\n' % number for number in range(6)]
    other = tmp_path / "other.jsonl"
    other.write_bytes(b"".join(lines))
    part = {str(other): [2 * len(lines[0]), 4 * len(lines[0])], str(tmp_path / "gone.jsonl"): [5, 0]}
    sink = JsonlSink(JsonlSettings(path=str(tmp_path / "a.jsonl")))
    sink.open({"bytes": 0, "others": part})
    sink.write([Record(str(number), "", {}) for number in range(6)])
    sink.flush(1.0)
    assert sink.snapshot()["others"] == part
    sink.close()
    found = [json.loads(line)["id"] for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert found == ["0", "1", "4", "5"], "2 and 3 were delivered by the other one"


def test_file_has_one_writer(tmp_path: Path) -> None:
    settings = JsonlSettings(path=str(tmp_path / "a.jsonl"))
    first, second = JsonlSink(settings), JsonlSink(settings)
    first.open(None)
    with pytest.raises(SinkUnavailableError, match="another process writes it"):
        second.open(None)
    first.close()
    second.open(None)
    second.close()


def test_full_disk_is_said() -> None:
    sink = JsonlSink(JsonlSettings(path="/dev/full"))
    sink.open(None)
    sink.write(records(0, 3))
    with pytest.raises(SinkUnavailableError, match="cannot write 3 records to /dev/full: No space left"):
        sink.flush(1)
    assert sink.pending() == 3
    sink.close()


def test_standard_output(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)
    sink = JsonlSink(JsonlSettings(path="-"))
    sink.open(None)
    sink.write([Record("a", "", {"n": 1})])
    sink.flush(1)
    assert sink.snapshot() == {}
    sink.close()
    assert json.loads(capfd.readouterr().out) == {"n": 1, "id": "a"}


def test_dead_letters_keep_every_byte() -> None:
    letter = DeadLetter("t/0/5", "bad time", b"\xff\x00ok", 9000)
    (record,) = to_records([letter], partition="t/0", region="eu", time_ns=1_700_000_000_000_000_000)
    assert record.document == {
        "schema_version": 1,
        "id": record.id,
        "place": "t/0/5",
        "reason": "bad time",
        "raw": "\\xff\x00ok",
        "raw_bytes": 9000,
        "partition": "t/0",
        "region": "eu",
        "time": "2023-11-14T22:13:20.000Z",
    }
    (again,) = to_records([letter], partition="t/0", region="eu", time_ns=0)
    assert again.id == record.id


def test_settings_name_connectors_by_type(tmp_path: Path) -> None:
    source = TypeAdapter(SourceSettings).validate_python({"type": "memory", "lines": ["a", "b", "c"]})
    assert build_source(source, worker=1, of=2).partitions() == ("memory/1",)
    sink = TypeAdapter(SinkSettings).validate_python({"type": "jsonl", "path": str(tmp_path / "x")})
    assert isinstance(build_sink(sink), JsonlSink)
    with pytest.raises(ValidationError, match="'kafka'"):
        TypeAdapter(SourceSettings).validate_python({"type": "kafak"})
    stdin = TypeAdapter(SourceSettings).validate_python({"type": "stdin"})
    with pytest.raises(SettingsError, match="one reader, not 2 workers"):
        build_source(stdin, of=2)


@pytest.mark.parametrize("entry", [*SOURCES.values(), *SINKS.values()], ids=lambda e: e.settings.__name__)
def test_every_setting_is_described(entry: object) -> None:
    for name, field in entry.settings.model_fields.items():
        assert name == "type" or field.description, f"{entry.settings.__name__}.{name} has no description"


def test_tokens_happen_where_they_stand() -> None:
    source = MemorySource({"m": [b"a", ABORT, b"b", FAIL, b"c", EOF, b"d"]})
    reader = source.open("m", None)
    assert reader.next_batch() is not None
    state = reader.snapshot()
    with pytest.raises(AbortedError):
        reader.next_batch()
    reader = source.open("m", state)
    assert reader.next_batch() is None
    batch = reader.next_batch()
    assert batch is not None
    assert (batch.line(0), batch.positions.tolist()) == (b"b", [1])


def test_files_with_raw_lines_are_not_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    sink = JsonlSink(JsonlSettings(path=str(path)))
    sink.open(None)
    sink.close()
    assert path.stat().st_mode & 0o137 == 0


def test_alerts_behind_the_retention_are_deleted(tmp_path: Path) -> None:
    sink = SqlSink(SqlSettings(url=f"sqlite:///{tmp_path}/alerts.db", keep_days=7))
    sink.open(None)

    def store(name: str, created: str) -> list[str]:
        sink.write([Record(name, "", {"id": name, "created": created})])
        sink.flush(5)
        return sorted(document["id"] for document in sink.recent())

    assert store("a", "2026-01-01T00:00:00.000000000Z") == ["a"]
    assert store("b", "2026-01-05T00:00:00.000000000Z") == ["a", "b"]
    assert store("c", "2026-01-08T00:30:00.000000000Z") == ["b", "c"]
    # At most once an hour, and never because of an old alert that comes late.
    assert store("d", "2026-01-12T00:15:00.000000000Z") == ["c", "d"]
    assert store("e", "2026-01-02T00:00:00.000000000Z") == ["c", "d", "e"]
    assert store("f", "2026-01-12T00:45:00.000000000Z") == ["c", "d", "e", "f"]
    assert store("g", "2026-01-12T01:20:00.000000000Z") == ["c", "d", "f", "g"]
    sink.close()


def test_many_old_alerts_are_deleted_over_several_flushes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.sql.DELETED_ROWS", 2)
    url = f"sqlite:///{tmp_path}/alerts.db"

    def store(sink: SqlSink, *names: str, created: str) -> int:
        sink.write([Record(name, "", {"id": name, "created": created}) for name in names])
        sink.flush(5)
        return sink.count()

    before = SqlSink(SqlSettings(url=url))
    before.open(None)
    assert store(before, "a", "b", "c", "d", "e", created="2026-01-01T00:00:00.000000000Z") == 5
    before.close()
    sink = SqlSink(SqlSettings(url=url, keep_days=7))
    sink.open(None)
    counts = [store(sink, name, created="2026-01-20T00:00:00.000000000Z") for name in ("f", "g", "h", "i")]
    assert counts == [4, 3, 3, 4]
    sink.close()
