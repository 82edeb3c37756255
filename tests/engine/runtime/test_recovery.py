import errno
import json
import os
import pickle
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.recovery import RecoveryConfig
from bytewax.testing import TestingSink, run_main

from engine.runtime import recovery
from engine.runtime.state_rows import RecoveryError, write
from engine.settings import from_mapping
from foundation import plain_pickle


class Items(FixedPartitionedSource):
    """Items one by one; its position is saved as bytes, like that of every step."""

    def __init__(self, items):
        self._items = items

    def list_parts(self):
        return ["items"]

    def build_part(self, _step, _part, resume):
        return ItemsPartition(self._items, 0 if resume is None else plain_pickle.load(resume))


class ItemsPartition(StatefulSourcePartition):
    def __init__(self, items, place):
        self._items, self._place = items, place

    def next_batch(self):
        if self._place == len(self._items):
            raise StopIteration
        self._place += 1
        return [self._items[self._place - 1]]

    def snapshot(self):
        return plain_pickle.dump(self._place)


def counted(name, items, out):
    """A flow that gives the running total of each key."""
    flow = Dataflow(name)

    def add(state, number):
        total = number + (0 if state is None else plain_pickle.load(state))
        return plain_pickle.dump(total), total

    op.output("out", op.stateful_map("sum", op.input("in", flow, Items(items)), add), TestingSink(out))
    return flow


@pytest.fixture
def settings(tmp_path):
    def make(path=tmp_path / "recovery", **more):
        return from_mapping(
            {
                "region": "eu",
                "source": {"type": "memory"},
                "parse": {"format": "hdfs"},
                "window": {"kind": "session"},
                "model": {"store": "m"},
                "sinks": [{"type": "memory"}],
                "dead_letters": {"type": "memory"},
                "recovery": {"path": str(path)},
                **more,
            },
            "here",
        )

    return make


@pytest.fixture(autouse=True)
def free_locks():
    yield
    recovery.release()


def prepare(settings, worker=0, of=1):
    return recovery.prepare(settings, worker, of, lock_wait_s=0)


def reopen(settings, worker=0, of=1):
    recovery.release()
    return prepare(settings, worker, of)


def test_a_new_folder_is_made_for_the_engine_alone(settings, tmp_path):
    assert isinstance(prepare(settings()), RecoveryConfig)
    folder = tmp_path / "recovery" / "worker-0-of-1"
    assert folder.stat().st_mode & 0o077 == 0
    assert {p.name for p in folder.iterdir()} == {"lock", "settings.json", "part-0.sqlite3"}


def test_each_worker_has_a_folder_of_its_own(settings, tmp_path):
    for worker in range(3):
        prepare(settings(), worker, 3)
    assert sorted(p.name for p in (tmp_path / "recovery").iterdir()) == [f"worker-{i}-of-3" for i in range(3)]


def test_the_same_settings_open_it_again(settings, tmp_path):
    def files():
        folder = tmp_path / "recovery" / "worker-0-of-1"
        return {p.name: (p.stat().st_ino, p.read_bytes()) for p in folder.iterdir()}

    prepare(settings())
    made = files()
    assert isinstance(reopen(settings(drain_s=3, model={"store": "elsewhere"})), RecoveryConfig)
    assert files() == made


def test_state_survives_in_it(settings):
    found = []

    def run(items):
        run_main(counted("t", items, found), recovery_config=reopen(settings()))

    run([("k", 1), ("k", 2)])
    run([("k", 1), ("k", 2), ("k", 10)])  # the source continues behind what it handed out
    assert found == [("k", 1), ("k", 3), ("k", 13)]


def test_a_folder_in_use_is_refused(settings):
    prepare(settings())
    with pytest.raises(RecoveryError, match="worker-0-of-1 is in use by another engine; stop it, or give another"):
        prepare(settings())


@pytest.mark.process
def test_a_killed_engine_leaves_its_folder_free(settings, tmp_path):
    lock = tmp_path / "recovery" / "worker-0-of-1" / "lock"
    prepare(settings())
    recovery.release()
    code = (
        "import fcntl, sys, time\n"
        f"file = open({str(lock)!r}, 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RecoveryError, match="in use"):
            prepare(settings())
        holder.kill()
    recovery.prepare(settings(), 0, 1, lock_wait_s=10)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"parse": {"format": "raw"}}, "parse"),
        ({"window": {"kind": "session", "gap_s": 1}}, "window"),
        ({"route": "session", "shards": 2}, "route, shards"),
        ({"source": {"type": "stdin"}}, "source"),
    ],
)
def test_other_settings_are_refused_by_name(settings, change, named):
    prepare(settings())
    with pytest.raises(
        RecoveryError,
        match=rf"made under other settings \({named} changed\); restore them, or move the state with `driftline state",
    ):
        reopen(settings(**change))


def test_another_number_of_workers_is_refused(settings):
    prepare(settings(), 0, 2)
    with pytest.raises(RecoveryError, match=r"another number of workers \(worker-0-of-2\)"):
        reopen(settings(), 0, 3)
    reopen(settings(), 1, 2)


def test_a_number_that_ends_like_another_is_another(settings):
    prepare(settings(), 0, 12)
    with pytest.raises(RecoveryError, match="another number of workers"):
        reopen(settings(), 0, 2)


def test_a_damaged_stamp_is_a_clear_sentence(settings, tmp_path):
    prepare(settings())
    stamp = tmp_path / "recovery" / "worker-0-of-1" / "settings.json"
    for content in ("{", "[]", "{}", json.dumps({"settings": 3})):
        stamp.write_text(content)
        with pytest.raises(RecoveryError, match=r"settings\.json is damaged"):
            reopen(settings())


def test_a_start_that_was_cut_short_is_finished(settings, tmp_path):
    prepare(settings())
    stamp = tmp_path / "recovery" / "worker-0-of-1" / "settings.json"
    whole = stamp.read_text()
    stamp.unlink()
    reopen(settings())
    assert stamp.read_text() == whole


def test_a_path_that_is_no_folder_is_a_clear_sentence(settings, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        RecoveryError, match=r"recovery\.path: .*/file/r/worker-0-of-1 cannot be written: Not a directory"
    ):
        prepare(settings(path=tmp_path / "file" / "r"))


def test_a_full_disk_is_a_clear_sentence(settings, monkeypatch):
    prepare(settings())

    def full(_file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecoveryError, match="worker-0-of-1 cannot be written: No space left on device"):
        reopen(settings())


def test_what_a_killed_run_left_of_unfinished_epochs_is_forgotten(settings, tmp_path):
    config = prepare(settings())
    out: list[tuple[str, int]] = []

    run_main(counted("f", [("a", 1), ("a", 1)], out), recovery_config=config)
    database = sqlite3.connect(tmp_path / "recovery" / "worker-0-of-1" / "part-0.sqlite3", isolation_level=None)
    (reached,) = database.execute("SELECT MAX(worker_frontier) FROM fronts").fetchone()
    (step,) = database.execute("SELECT step_id FROM snaps WHERE step_id LIKE 'f.sum%'").fetchone()
    row = "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, 'a', ?, ?)"
    database.execute(
        row, (step, reached, pickle.dumps(plain_pickle.dump(99)))
    )  # of an epoch that the next run is killed in
    database.execute("INSERT INTO exs (ex_num, worker_count, resume_epoch) VALUES (1, 1, ?)", (reached,))
    database.execute("INSERT INTO fronts (ex_num, worker_index, worker_frontier) VALUES (1, 0, ?)", (reached,))
    reopen(settings())
    assert database.execute("SELECT COUNT(*) FROM snaps WHERE snap_epoch >= ?", (reached,)).fetchone() == (0,)
    database.close()
    run_main(counted("f", [("a", 1), ("a", 1), ("a", 1)], out), recovery_config=reopen(settings()))
    assert out == [("a", 1), ("a", 2), ("a", 3)]


class Calls:
    """Pickled data of it calls a harmless function when it is read."""

    def __reduce__(self):
        return os.getenv, ("HOME",)


@pytest.mark.parametrize(
    ("saved", "reason"),
    [
        (pickle.dumps(Calls()), r"cannot be trusted: the data names (os|posix)\.getenv"),
        (pickle.dumps({"offset": 3}), "was saved by an earlier version of Driftline"),
        (b"\x80\x04", "cannot be trusted: the data is damaged"),
    ],
)
def test_a_state_that_is_not_bytes_is_refused_before_it_is_read(settings, tmp_path, monkeypatch, saved, reason):
    run_main(counted("t", [("k", 1)], []), recovery_config=reopen(settings()))
    recovery.release()
    called: list[str] = []
    monkeypatch.setattr(os, "getenv", called.append)
    with closing(sqlite3.connect(tmp_path / "recovery" / "worker-0-of-1" / "part-0.sqlite3")) as database, database:
        database.execute("UPDATE snaps SET ser_change = ? WHERE state_key = 'k'", (saved,))
    with pytest.raises(RecoveryError, match=rf"the state of t\.sum.* for 'k' {reason}.*`driftline state reset`"):
        prepare(settings())
    assert "HOME" not in called


def test_files_of_windows_that_no_saved_state_names_are_deleted(settings, tmp_path):
    prepare(settings())
    folder = tmp_path / "recovery" / "worker-0-of-1"
    for name in ("windows-aa", "windows-bb"):
        (folder / name).mkdir()
        (folder / name / "000000000.part").write_bytes(b"x")
    write(folder, {("f.window", "k"): {"windows": b"... windows-bb ..."}})
    reopen(settings())
    assert [path.name for path in folder.glob("windows-*")] == ["windows-bb"]
