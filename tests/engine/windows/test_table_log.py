"""Many open windows are saved by what changed, and no crash loses one or brings one back."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.windows import table_log, table_parts
from engine.windows.session_table import BASE, COUNT, DEADLINE, FIRST, LAST, SessionTable
from engine.windows.table_log import TableLog
from engine.windows.window_base import NoRoomForWindowsError, WindowStateError

Content = dict[int, tuple[list[int], list[int], bytes]]


class Sessions:
    """A table and the plain dictionary that it stands for."""

    def __init__(self, table: SessionTable) -> None:
        self.table = table

    def open(self, ids: list[int]) -> None:
        array = np.array(ids, np.int64)
        slots = self.table.open(array, array, [b"key %d" % i for i in ids])
        self._add(slots, grew=False)

    def grow(self, ids: list[int]) -> None:
        self._add(self.table.find(np.array(ids, np.int64)), grew=True)

    def _add(self, slots: np.ndarray, *, grew: bool) -> None:
        rows = self.table.rows[slots]
        lines = np.ones(len(slots), np.int64)
        rows[:, BASE] = self.table.tokens.extend(rows[:, BASE], rows[:, COUNT], lines, rows[:, COUNT] * 7 + 1)
        rows[:, COUNT] += 1
        rows[:, FIRST], rows[:, LAST], rows[:, DEADLINE] = rows[:, FIRST] + (not grew), rows[:, COUNT], 9
        self.table.write(slots, rows, grew=grew)

    def close(self, ids: list[int]) -> None:
        slots = self.table.find(np.array(ids, np.int64))
        self.table.tokens.free(self.table.rows[slots, BASE], self.table.rows[slots, COUNT])
        self.table.release(slots)


def content(table: SessionTable) -> Content:
    found: Content = {}
    for slot in table.used().tolist():
        row = table.rows[slot]
        tokens = table.tokens.gather(row[None, BASE], row[None, COUNT]).tolist()
        found[int(row[0])] = (row[:BASE].tolist(), tokens, table.keys[slot])
    return found


def loaded(folder: Path, state: tuple) -> tuple[SessionTable, TableLog]:
    table, log = SessionTable(), TableLog(folder)
    log.load(table, *state, deadlines=True)
    return table, log


@pytest.fixture
def parts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_log, "SMALL", 0)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*"))


@pytest.mark.usefixtures("parts_at_once")
@pytest.mark.parametrize("most_parts", [4, 300])
def test_a_crash_at_any_time_resumes_from_the_last_saved_epoch(most_parts, tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setattr(table_log, "MOST_PARTS", most_parts)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # thousands of files
    one = st.integers(0, 40)
    change = st.tuples(st.sampled_from(["open", "grow", "close"]), st.sets(one, min_size=1, max_size=8))
    epoch = st.tuples(st.lists(change, max_size=4), st.sampled_from(["saved", "saved", "killed", "killed and saved"]))

    @settings(max_examples=80, deadline=None)
    @given(st.lists(epoch, max_size=25))
    def law(epochs) -> None:
        folder = tmp_path_factory.mktemp("log")
        table, log = SessionTable(), TableLog(folder)
        state, wanted = log.save(table), content(table)
        for changes, end in epochs:
            sessions = Sessions(table)
            for what, ids in changes:
                open_now = set(content(table))
                chosen = sorted(ids - open_now if what == "open" else ids & open_now)
                if chosen:
                    getattr(sessions, what)(chosen)
            after = log.save(table)
            if end != "killed":  # killed: the epoch's part is on the disk, and Bytewax has not saved what refers to it
                state, wanted = after, content(table)
            if end != "saved":
                table, log = loaded(folder, state)
            assert content(table) == wanted

    law()


@pytest.mark.usefixtures("parts_at_once")
def test_a_part_holds_what_changed_and_all_parts_about_twice_the_table(tmp_path) -> None:
    table, log = SessionTable(), TableLog(tmp_path)
    sessions = Sessions(table)
    sessions.open(list(range(20_000)))
    log.save(table)
    whole = log.written_bytes
    rng = np.random.default_rng(1)
    for _ in range(3 * table_log.MOST_PARTS):
        sessions.grow(np.unique(rng.integers(0, 20_000, 200)).tolist())
        log.save(table)
        assert log.written_bytes < whole / 20
        assert sum(path.stat().st_size for path in files(tmp_path)) < 2.5 * whole
    assert len(files(tmp_path)) <= table_log.MOST_PARTS + table_log.STATES
    for _ in range(3):
        sessions.grow(list(range(20_000)))
        log.save(table)
    assert sum(path.stat().st_size for path in files(tmp_path)) < 4 * whole


@pytest.mark.usefixtures("parts_at_once")
def test_nothing_is_written_where_nothing_changed(tmp_path) -> None:
    table, log = SessionTable(), TableLog(tmp_path)
    Sessions(table).open([1, 2])
    state = log.save(table)
    assert log.written_bytes > 0
    assert log.save(table) == state
    assert log.written_bytes == 0


def test_few_windows_are_saved_without_files(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(table_log, "SMALL", 3)
    table, log = SessionTable(), TableLog(tmp_path)
    sessions = Sessions(table)
    sessions.open([1, 2, 3])
    assert log.save(table)[0] is None
    sessions.open([4])
    many = log.save(table)
    assert many[0] is not None
    sessions.close([1])
    assert log.save(table)[0] is None
    log.save(table)
    assert files(tmp_path), "an earlier state may still be the saved one"
    log.save(table)
    assert files(tmp_path) == []
    assert len(loaded(tmp_path, log.save(table))[0]) == 3


@pytest.mark.usefixtures("parts_at_once")
def test_a_missing_or_damaged_part_is_named(tmp_path) -> None:
    table, log = SessionTable(), TableLog(tmp_path)
    Sessions(table).open([1, 2])
    state = log.save(table)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(WindowStateError, match=r"window state of .* bytes is damaged"):
        loaded(tmp_path, state)
    path.write_bytes(b"")
    with pytest.raises(WindowStateError, match=r"000000000\.part: saved windows cannot be read"):
        loaded(tmp_path, state)
    path.unlink()
    with pytest.raises(WindowStateError, match=r"000000000\.part: saved windows cannot be read.*No such file"):
        loaded(tmp_path, state)
    with pytest.raises(WindowStateError, match="the engine runs without one"):
        TableLog(None).load(SessionTable(), *state, deadlines=True)


@pytest.mark.usefixtures("parts_at_once")
def test_no_file_outside_the_folders_of_parts_is_deleted(tmp_path) -> None:
    table, log = SessionTable(), TableLog(tmp_path / "recovery")
    (tmp_path / "recovery").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    Sessions(table).open([1, 2])
    saved, whole = log.save(table)
    (part,) = files(tmp_path / "recovery")
    part.rename(tmp_path / "mine" / part.name)
    with pytest.raises(WindowStateError, match=r"refers to the folder '\.\./mine'"):
        loaded(tmp_path / "recovery", ({**saved, "folder": "../mine"}, whole))
    assert (tmp_path / "mine" / "file").exists()


@pytest.mark.usefixtures("parts_at_once")
def test_a_full_disk_is_an_error_of_its_own(tmp_path, monkeypatch) -> None:
    table, log = SessionTable(), TableLog(tmp_path)
    Sessions(table).open([1])

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoRoomForWindowsError, match="No space left on device"):
        log.save(table)


def test_parts_that_do_not_fit_each_other_are_refused() -> None:
    table = SessionTable()
    Sessions(table).open([1, 2])
    part = table_parts.dump_part(table, table.used(), np.zeros(0, np.int64), np.zeros(0, np.int64))
    for name in ("key_lengths", "rows"):
        with pytest.raises(WindowStateError, match="window state has rows of shape"):
            table_parts.load_parts(SessionTable(), [{**part, name: part[name][:1]}], 1024)
    with pytest.raises(WindowStateError, match="1 windows that grew, and 0 lengths"):
        table_parts.load_parts(SessionTable(), [{**part, "grown": np.zeros(1, np.int32)}], 1024)
