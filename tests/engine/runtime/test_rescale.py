"""Moves of saved state between real folders; the flow that continues from them is in tests/faults/test_rescale.py."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine import dataflow
from engine.cli.app import run_command
from engine.clock import ManualClock
from engine.runtime import recovery, rescale
from engine.runtime.divided_state import is_position, step_of
from engine.runtime.state_rows import RecoveryError, read, write
from engine.settings import from_mapping
from engine.steps.parse import Parser, ParseSettings
from engine.steps.window import SessionWindows, build_windower
from engine.windows import table_log
from tests.engine.windows.test_bounds import parsed

LINES = [b"081109 203615 148 INFO dfs.DataNode: Receiving block blk_%d src: /10.0.0.1:5 dest: /10.0.0.2:6" % i
         for i in range(3)]  # fmt: skip

NO_WINDOWS = build_windower(SessionWindows(), ManualClock(0)).snapshot()

SESSIONS = {"window": {"kind": "session"}, "model": {"store": "m"}, "route": "session", "shards": 2}


@pytest.fixture(autouse=True)
def free_locks():
    yield
    recovery.release()


@pytest.fixture
def settings(tmp_path):
    def make(**more):
        whole = {
            "region": "eu",
            "source": {"type": "kafka", "brokers": "b:1", "topic": "t"},
            "parse": {"format": "hdfs"},
            "sinks": [{"type": "jsonl", "path": str(tmp_path / "a.jsonl")}],
            "dead_letters": {"type": "jsonl", "path": str(tmp_path / "d.jsonl")},
            "recovery": {"path": str(tmp_path / "recovery")},
        }
        return from_mapping({**whole, **more}, "here")

    return make


def parser_state(**changes):
    from connectors.memory import MemorySource

    source = MemorySource({"p": LINES})
    parser = Parser(ParseSettings(**{"format": "hdfs", **changes}), source.describe)
    batch = source.open("p", None).next_batch()
    assert batch is not None
    parser.parse(batch)
    return parser.snapshot()


@pytest.fixture
def save(settings):
    """Saves states as workers that have ended would; `save(settings, [states of worker 0, …])`."""

    def put(of_settings, workers):
        for worker, states in enumerate(workers):
            recovery.prepare(of_settings, worker, len(workers), lock_wait_s=0)
            named = {(f"driftline.{step}", key): state for (step, key), state in states.items()}
            write(recovery.folder_of(of_settings, worker, len(workers)), named)
        recovery.release()

    return put


def load(of_settings, of):
    folders = [recovery.folder_of(of_settings, worker, of) for worker in range(of)]
    return [{(step_of(key), key[1]): state for key, state in read(folder).items()} for folder in folders]


def positions(numbers):
    return {("source", f"t/{n}"): {"offset": 10 * n} for n in numbers} | {("parse", f"t/{n}"): parser_state()
                                                                          for n in numbers}  # fmt: skip


def decided(*partitions, seen=5, templates=(1, 2), numbers=(0, 3)):
    episodes = [list(partitions), *([1] * len(partitions) for _ in range(6)), [[1]] * len(partitions)]
    decider = {"episodes": episodes, "groups": [["g"], [seen], [seen]], "suppressed": {"x": 1},
               "ordinary": [seen, list(templates), list(numbers)]}  # fmt: skip
    return json.dumps({"decider": decider, "threshold": {"version": seen}}).encode()


def test_what_belongs_to_a_partition_follows_it(settings, save):
    save(settings(), [positions([0, 2, 4]), positions([1, 3, 5])])
    moved = rescale.rescale(settings(), 3)
    assert moved is not None
    assert moved.of == 2
    for worker, states in enumerate(load(settings(), 3)):
        mine = {f"t/{worker}", f"t/{worker + 3}"}
        assert {key for step, key in states if step == "source"} == mine
        assert {key for step, key in states if step == "parse"} == mine
        assert states["source", f"t/{worker + 3}"] == {"offset": 10 * (worker + 3)}


def test_windows_that_are_saved_in_files_take_them_along(settings, monkeypatch):
    monkeypatch.setattr(table_log, "SMALL", 0)
    for worker in (0, 1):
        recovery.prepare(settings(), worker, 2, lock_wait_s=0)
    folders = [recovery.folder_of(settings(), worker, 2) for worker in (0, 1)]
    windower = build_windower(SessionWindows(), ManualClock(0), None, folders[1])
    windower.add(parsed([1, 2], [0, 0], partition="t/1"))
    write(folders[0], {("driftline.source", "t/0"): {"offset": 0}})
    write(folders[1], {("driftline.window", "t/1"): {"windows": windower.snapshot(), "templates": ()}})
    recovery.release()
    for of in (3, 1):
        rescale.rescale(settings(), of)
    recovery.prepare(settings(), 0, 1, lock_wait_s=0)
    saved = load(settings(), 1)[0]["window", "t/1"]["windows"]
    again = build_windower(SessionWindows(), ManualClock(0), saved, recovery.folder_of(settings(), 0, 1))
    assert again.open_windows == 2


def test_the_new_folders_are_those_of_the_new_number(settings, save, tmp_path):
    save(settings(), [positions([0]), positions([1])])
    rescale.rescale(settings(), 1)
    assert [p.name for p in (tmp_path / "recovery").iterdir()] == ["worker-0-of-1"]
    recovery.prepare(settings(), 0, 1, lock_wait_s=0)


def test_there_and_back_again_is_the_same(settings, save):
    before = [positions([0, 2]), positions([1, 3])]
    save(settings(), before)
    for of in (3, 1, 2):
        rescale.rescale(settings(), of)
    assert load(settings(), 2) == before


def test_what_is_shared_is_divided_by_its_partitions(settings, save):
    batch = {"partition": ["t/1", "t/1"], "ids": b""}
    budgets = [json.dumps({"t/0": {"tokens": 1}}).encode(), json.dumps({"t/1": {"tokens": 2}}).encode()]
    save(
        settings(),
        [
            positions([0]) | {("score", "0"): {"waiting": [], "templates": ("a",)}, ("budget", "0"): budgets[0],
                              ("decide", "0"): decided("t/0"), ("drift", "0"): {"monitor": 0}},
            positions([1]) | {("score", "0"): {"waiting": [batch], "templates": ("b",)}, ("budget", "0"): budgets[1],
                              ("decide", "0"): decided("t/1", seen=9, templates=(2, 7), numbers=(1, 4)),
                              ("drift", "0"): {"monitor": 1}},
        ],
    )  # fmt: skip
    rescale.rescale(settings(), 1)
    (one,) = load(settings(), 1)
    assert one["score", "0"] == {"waiting": [batch], "templates": ("a", "b")}
    assert json.loads(one["budget", "0"]) == {"t/0": {"tokens": 1}, "t/1": {"tokens": 2}}
    decider = json.loads(one["decide", "0"])["decider"]
    assert decider["episodes"][0] == ["t/0", "t/1"]
    assert decider["ordinary"] == [9, [1, 2, 7], [0, 1, 4]]
    assert decider["groups"] == [["g"], [9], [9]]
    rescale.rescale(settings(), 2)
    first, second = load(settings(), 2)
    assert [state["score", "0"]["waiting"] for state in (first, second)] == [[], [batch]]
    assert [json.loads(s["decide", "0"])["decider"]["episodes"][0] for s in (first, second)] == [["t/0"], ["t/1"]]
    assert [list(json.loads(s["budget", "0"])) for s in (first, second)] == [["t/0"], ["t/1"]]


def test_counts_of_windows_follow_their_partition(settings, save):
    counts = [{"t/0 (windows 0)": 1, "t/2 (alerts 0)": 2}, {"t/1 (windows 0)": 3, "t/1 (alerts 0)": 4}]
    save(settings(), [positions([0, 2]) | {("count", "0"): counts[0]}, positions([1]) | {("count", "0"): counts[1]}])
    rescale.rescale(settings(), 3)
    assert [states["count", "0"] for states in load(settings(), 3)] == [
        {"t/0 (windows 0)": 1},
        {"t/1 (windows 0)": 3, "t/1 (alerts 0)": 4},
        {"t/2 (alerts 0)": 2},
    ]


def test_every_step_with_state_is_divided():
    page = Path(dataflow.__file__).read_text("utf-8")
    steps = set(re.findall(r'op\.stateful_batch\("(\w+)"', page))
    assert len(steps) > 8
    assert not [step for step in steps if is_position((f"driftline.{step}", "0"))]


def test_writers_learn_what_was_delivered_by_others(settings, save, tmp_path):
    kafka = [{"offsets": {"0": 5, "1": 9}}, {"offsets": {"0": 7}}]
    save(settings(), [{("0-jsonl", "0"): {"bytes": 5}, ("1-kafka", "0"): kafka[0]},
                      {("0-jsonl", "0"): {"bytes": 8}, ("1-kafka", "0"): kafka[1]}])  # fmt: skip
    (tmp_path / "a.1.jsonl").write_bytes(b"{}\n" * 20)  # the file of the other one is gone
    rescale.rescale(settings(), 1)
    (one,) = load(settings(), 1)
    files = {str(tmp_path / "a.0.jsonl"): [5, 0], str(tmp_path / "a.1.jsonl"): [8, 60]}
    assert one["0-jsonl", "0"] == {"bytes": 0, "others": files}
    assert one["1-kafka", "0"] == {"offsets": {"0": 5, "1": 9}}


def test_open_groups_of_a_channel_continue_in_one_writer(settings, save):
    books = [{"groups": {name: {"count": 1}}, "minute": {"start_s": at}, "digests": {}} for name, at in (("a", 1.0),
             ("b", 2.0))]  # fmt: skip
    save(settings(), [{("1-slack", "0"): book} for book in books])
    rescale.rescale(settings(), 3)
    first, *others = (states["1-slack", "0"] for states in load(settings(), 3))
    assert list(first["groups"]) == ["a", "b"]
    assert first["minute"] == {"start_s": 2.0}
    assert others == [{}, {}]


def test_files_move_by_their_path(settings, save, tmp_path):
    from connectors.files import owner_of

    paths = [str(tmp_path / f"{i}.log") for i in range(8)]
    files = settings(source={"type": "file", "paths": paths})
    unit = {"files": {path: {"byte": i} for i, path in enumerate(paths)}, "forgotten": {}}
    save(files, [{("source", "files/0-of-1"): unit} | {("parse", path): parser_state() for path in paths}])
    rescale.rescale(files, 2)
    for worker, states in enumerate(load(files, 2)):
        mine = {path for path in paths if owner_of(path, 2, follow=False) == worker}
        assert set(states["source", f"files/{worker}-of-2"]["files"]) == mine
        assert {key for step, key in states if step == "parse"} == mine


def test_learnt_templates_stay_when_parse_changes(settings, save):
    save(settings(), [positions([0])])
    for parse in (
        {"format": "hdfs", "templates": {"masks": [{"pattern": "x", "name": "X"}]}},
        {"format": "auto"},
        {"format": "raw"},
        {"format": "hdfs", "templates": {"similarity": 0.7}},
    ):
        changed = settings(parse=parse)
        assert rescale.rescale(changed, None) is not None
        (states,) = load(changed, 1)
        parser = Parser(changed.parse, lambda p, n: f"{p}/{n}", states["parse", "t/0"])
        saved = json.loads(parser.snapshot())
        lanes = saved["lanes"].values() if "lanes" in saved else [saved]
        assert [lane["texts"] for lane in lanes] == [json.loads(parser_state())["texts"]]
        assert states["source", "t/0"] == {"offset": 0}


def test_another_topic_keeps_what_was_learnt_and_no_position(settings, save):
    save(settings(), [positions([0]) | {("find", "t/0"): {"blocks": 3}, ("window", "t/0"): {"windows": NO_WINDOWS}}])
    other = settings(source={"type": "kafka", "brokers": "b:1", "topic": "u"})
    rescale.rescale(other, None)
    (states,) = load(other, 1)
    assert states["find", "u/0"] == {"blocks": 3}
    assert json.loads(states["parse", "u/0"])["texts"] == json.loads(parser_state())["texts"]
    assert states["window", "t/0"] == {"windows": NO_WINDOWS}  # ends under its old name
    assert not [key for key in states if key[0] == "source"]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"window": {"kind": "session"}}, "other values of window, and windows are cut by"),
        ({"source": {"type": "stdin"}}, 'a source of type "kafka", whose partitions are not those of'),
    ],
)
def test_settings_that_cannot_keep_the_state_are_refused(settings, save, more, reason):
    before = [positions([0])]
    save(settings(), before)
    with pytest.raises(RecoveryError, match=reason):
        rescale.rescale(settings(**more), None)
    assert load(settings(), 1) == before


@pytest.mark.parametrize("more", [SESSIONS, {"source": {"type": "memory"}}])
def test_what_cannot_be_divided_is_refused(settings, save, more):
    save(settings(**more), [{("source", "memory/0"): {}}])
    with pytest.raises(RecoveryError, match="cannot be divided"):
        rescale.rescale(settings(**more), 2)


def test_the_beginning_of_a_record_is_not_given_up(settings, save):
    held = json.dumps({**json.loads(parser_state()), "pieces": [["x", 1, "", ""]]}).encode()
    save(settings(), [{("parse", "t/0"): held}])
    with pytest.raises(RecoveryError, match="t/0: the state holds the beginning of a record"):
        rescale.rescale(settings(parse={"format": "raw"}), None)


def test_a_reset_deletes_all_or_all_but_the_positions(settings, save, tmp_path):
    counted = {("rollup", "t/0"): {"partition": "t/0"}, ("count", "0"): {"t/0 (windows 0)": {"newest": 1}}}
    save(settings(), [positions([0]) | {("0-jsonl", "0"): {"bytes": 3}} | counted])
    rescale.reset(settings(), keep_positions=True)
    assert load(settings(), 1) == [{("source", "t/0"): {"offset": 0}, ("0-jsonl", "0"): {"bytes": 3}} | counted]
    rescale.reset(settings(), keep_positions=False)
    assert list((tmp_path / "recovery").iterdir()) == []
    assert rescale.reset(settings(), keep_positions=False) == 0


def test_a_running_engine_is_not_disturbed(settings, save, monkeypatch):
    monkeypatch.setattr(rescale, "ENDING_S", 0.0)
    save(settings(), [positions([0])])
    recovery.prepare(settings(), 0, 1, lock_wait_s=0)
    with pytest.raises(RecoveryError, match="in use by another engine"):
        rescale.rescale(settings(), 2)


def test_one_command_works_at_a_time(settings, save, tmp_path):
    save(settings(), [positions([0])])
    with rescale.opened(settings()):
        (tmp_path / "recovery" / "moving").mkdir()  # as it is while the new folders are made
        for other in (lambda: rescale.rescale(settings(), 2), lambda: rescale.reset(settings(), keep_positions=False)):
            with pytest.raises(RecoveryError, match="another `driftline state` command uses"):
                other()
        assert (tmp_path / "recovery" / "moving").exists()


@pytest.mark.parametrize("at", range(4))
def test_a_move_that_is_cut_short_is_completed_by_the_next(settings, save, tmp_path, monkeypatch, at):
    before = [positions([0]), positions([1])]
    save(settings(), before)
    path, calls = tmp_path / "recovery", []

    def stop(what, function):
        def run(*arguments, **options):
            calls.append(what)
            if len(calls) > at:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(rescale.shutil, "rmtree", stop("rmtree", rescale.shutil.rmtree))
        patch.setattr(rescale.os, "rename", stop("rename", rescale.os.rename))
        with pytest.raises(KeyboardInterrupt):
            rescale.rescale(settings(), 2 if at % 2 else 3)
    assert (path / "moving").exists()
    with pytest.raises(RecoveryError, match="a `driftline state` command was interrupted in"):
        recovery.prepare(settings(), 0, 2, lock_wait_s=0)
    rescale.rescale(settings(), 2)
    assert load(settings(), 2) == before


def test_a_move_that_was_not_complete_is_undone(settings, save, tmp_path):
    before = [positions([0])]
    save(settings(), before)
    (tmp_path / "recovery" / "moving" / "worker-0-of-2").mkdir(parents=True)
    rescale.rescale(settings(), 1)
    assert load(settings(), 1) == before


@pytest.fixture
def region(settings, save, tmp_path):
    save(settings(), [positions([0]), positions([1])])
    file = tmp_path / "region.toml"
    file.write_text(
        'region = "eu"\nsource = {type = "kafka", brokers = "b:1", topic = "t"}\nparse = {format = "hdfs"}\n'
        f'dead_letters = {{type = "jsonl", path = "{tmp_path / "d.jsonl"}"}}\n'
        f'recovery = {{path = "{tmp_path / "recovery"}"}}\n'
        f'[[sinks]]\ntype = "jsonl"\npath = "{tmp_path / "a.jsonl"}"\n'
    )
    return str(file)


def test_the_command_shows_positions(region, capsys):
    assert run_command(["state", "show", region, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["workers"] == 2
    assert [(row["worker"], row["key"], row["position"]) for row in shown["states"] if row["step"] == "source"] == [
        (0, "t/0", "offset 0"),
        (1, "t/1", "offset 10"),
    ]
    assert run_command(["state", "show", region]) == 0
    assert "offset 10" in capsys.readouterr().out


def test_the_commands_move_and_delete(region, capsys, tmp_path):
    assert run_command(["state", "rescale", region, "--workers", "3"]) == 0
    assert capsys.readouterr().out == "the state of 2 workers is now that of 3\n"
    assert run_command(["state", "reset", region, "--keep-positions", "--yes"]) == 0
    assert capsys.readouterr().out == "deleted what was learnt, and all open windows, of 3 workers\n"
    assert run_command(["state", "reset", region, "--yes"]) == 0
    assert capsys.readouterr().out == "deleted all state of 3 workers\n"
    assert run_command(["state", "show", region]) == 0
    assert run_command(["state", "rescale", region]) == 0
    assert capsys.readouterr().out == "nothing is saved\nnothing is saved, so there is nothing to move\n"


def test_state_that_cannot_be_read_can_be_deleted(region, settings, tmp_path, capsys):
    for folder in (tmp_path / "recovery").iterdir():
        (folder / "settings.json").write_text("{")
    assert run_command(["state", "show", region]) == 2
    assert "settings.json is damaged" in capsys.readouterr().err
    assert run_command(["state", "reset", region, "--yes"]) == 0
    recovery.prepare(settings(), 0, 1, lock_wait_s=0)


def test_a_database_that_is_none_is_one_sentence(region, tmp_path, capsys):
    for database in (tmp_path / "recovery").glob("*/part-0.sqlite3"):
        with closing(sqlite3.connect(database)) as opened:
            opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.write_bytes(b"not a database" * 100)
    assert run_command(["state", "show", region]) == 2
    assert "cannot be used: file is not a database" in capsys.readouterr().err
