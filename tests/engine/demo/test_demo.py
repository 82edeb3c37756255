"""The demonstration: its parts on made data, and the whole on a small simulated log."""

import json
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from engine.corpus.simulator import simulate
from engine.demo import run as demo_run
from engine.demo.federated import ROUND_S, WAITED_ROUNDS, Story, messages, region_of
from engine.demo.files import REGIONS, DemoError, clear, write_fleet, write_region
from engine.demo.log import LABELS_HEADER, DemoLog, closing_lines, compare, session_gap_s
from engine.demo.stage import Feed, command, drained, running
from engine.settings import CoordinatorSettings, RegionSettings, load_either
from federation.coordinator.records import Round, RoundStep

LINES = [f"081109 20353{i} 1 INFO a.B: x blk_{b}".encode() for i, b in enumerate([1, 2, 1, 3, 2, 4])]


def test_sessions_across_the_cut_are_judged_nowhere(tmp_path: Path):
    log = DemoLog("made", LINES, {"blk_1": True, "blk_2": False, "blk_3": True, "blk_4": False})
    past, stream = log.split(0.5)
    assert (past.lines, stream.lines) == (LINES[:3], LINES[3:])
    assert past.labels == {"blk_1": True}
    assert stream.labels == {"blk_3": True, "blk_4": False}
    lines, labels = stream.write(tmp_path, "x")
    assert lines.read_bytes().splitlines() == LINES[3:]
    assert labels.read_text() == f"{LABELS_HEADER}blk_3,Anomaly\nblk_4,Normal\n"


def test_the_closing_lines_lie_past_the_gap():
    assert [line[:14] for line in closing_lines(LINES[0], 43_200)] == [b"081110 083531 ", b"081110 083532 "]


def test_the_gap_is_longer_than_every_pause_of_a_session():
    assert session_gap_s(LINES) == 80  # a minute at least, and a third more
    late = b"081109 213530 1 INFO a.B: x blk_2"
    assert session_gap_s([*LINES, late]) == (3600 - 4) * 4 // 3
    assert session_gap_s([*LINES, b"081110 203530 1 INFO a.B: x blk_2"]) == 43_200


def test_alerts_are_compared_by_session():
    found = compare({"a", "b", "x"}, {"a": True, "b": False, "c": True, "d": False})
    assert found == {
        "sessions_judged": 4, "sessions_not_judged": 1, "anomalous_sessions": 2,
        "precision": 0.5, "recall": 0.5, "f1": 0.5,
    }  # fmt: skip
    assert compare(set(), {"a": True})["f1"] == 0.0
    assert compare(set(), {})["recall"] == 0.0


@pytest.mark.process
def test_the_whole_demonstration_on_a_simulated_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = simulate(12_000, seed=3, release_at=1.0, anomaly_share=0.1)
    log = DemoLog("simulated", made.data.splitlines(), made.labels)
    monkeypatch.setattr(demo_run, "find_log", lambda console, seed: log)
    assert demo_run.run(tmp_path / "out", first=0.6, seconds=1.0, seed=0) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["lines_streamed"] == 4_800
    assert report["dead_letters"] == 0
    assert report["model_version"] == 1
    assert report["alerts"] > 0
    assert report["f1"] > 0.5
    _console_shows(tmp_path / "out" / "serve.toml", report["alerts"])


def _console_shows(settings: Path, alerts: int) -> None:
    """The console is served over the data, ends with SIGTERM, and has the alerts and counts of the run."""
    process = subprocess.Popen(command("serve", settings), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split()[-1]
        token = process.stdout.readline().rsplit("/", 1)[-1].strip()
        account = {"token": token, "name": "ada", "password": "correct horse battery"}
        with httpx2.Client(base_url=url) as client:
            client.post("/api/v1/setup", json=account).raise_for_status()
            items = client.get("/api/v1/alerts", params={"limit": 500}).json()["items"]
            assert len({item["session"] for item in items}) == alerts
            day = {"since": min(item["first_time"] for item in items), "until": items[0]["last_time"]}
            counted = client.get("/api/v1/templates", params=day).json()
            assert counted["total_lines"] > 0
            assert sum(item["anomalous"] for item in counted["items"]) > 0
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        process.stdout.close()
    assert code == 0


@pytest.mark.process
def test_a_command_that_fails_names_its_log(tmp_path: Path):
    log = tmp_path / "x.log"
    failing = running("run", "no", log=log)
    with pytest.raises(DemoError, match=r"driftline run ended with code [12]; see "), failing as process:
        process.wait(timeout=60)
    assert b"no such file" in log.read_bytes()


def test_only_what_a_demonstration_left_is_removed(tmp_path: Path):
    (tmp_path / "models").mkdir()
    code = tmp_path / "models" / "__init__.py"
    code.touch()
    with pytest.raises(DemoError, match="models does not belong to an earlier demonstration"):
        clear(tmp_path, "demo")
    assert code.is_file()
    (tmp_path / "train.csv").write_text(LABELS_HEADER)
    (tmp_path / "demo").touch()
    (tmp_path / "mine.txt").touch()
    clear(tmp_path, "demo")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_every_line_goes_to_its_region_and_every_label_comes_late():
    lines = [b"x blk_1", b"no block", b"x blk_-2", b"y blk_1", *(b"x blk_3" for _ in range(400))]
    sent = messages(lines, {"blk_1": True, "blk_-2": False, "blk_9": True})
    topics = [topic for topic, _ in sent]
    assert sorted(set(topics)) == sorted({f"logs.{region_of(b)}" for b in ("1", "2", "3")} | {"labels"})
    assert [v for t, v in sent if t == f"logs.{region_of('1')}"] == [b"x blk_1", b"y blk_1"]
    assert b"no block" not in [value for _, value in sent]
    labels = [(i, json.loads(v)) for i, (t, v) in enumerate(sent) if t == "labels"]
    assert [label for _, label in labels] == [
        {"session": "blk_-2", "anomalous": False}, {"session": "blk_1", "anomalous": True}
    ]  # fmt: skip
    assert all(i > sent.index((f"logs.{region_of('1')}", b"y blk_1")) + 3 for i, _ in labels)


def test_the_files_are_accepted(tmp_path: Path):
    paths = write_fleet(tmp_path, "127.0.0.1:1", 3600, [9001, 9002, 9003, 9004, 9005])
    found = [load_either(path) for path in [*paths, tmp_path / "coordinator.toml"]]
    assert [type(settings) for settings in found] == [RegionSettings] * 3 + [CoordinatorSettings]
    assert {settings.node.superlink for settings in found[:3]} == {"127.0.0.1:9005"}
    assert [settings.telemetry.port for settings in found[:3]] == [9001, 9002, 9003]
    assert found[0].window.gap_s == 3600
    assert found[3].superlink.port == 9005
    assert load_either(write_region(tmp_path, "127.0.0.1:1", 9001)).window.growth == (8, 16, 32)


class KnownRounds:
    """Stands for the ledger."""

    def __init__(self, *rounds: Round) -> None:
        self.kept = rounds

    def rounds(self, count):
        return self.kept

    def pending(self):
        return ()


def test_the_stream_waits_from_the_round_to_the_swap():
    def serving(version):
        return {region: {"driftline_model_version": float(version)} for region in REGIONS}

    running = Round("r", "m", 1, "drift", RoundStep.STARTED, 0, number=1)
    ledger = KnownRounds(running)
    story = Story(ledger)
    assert story.follow(serving(1), 7, 0.0) == ("round 1: drift", True)
    published = replace(running, step=RoundStep.DONE, published=2, outcome="published", sentence="it is better")
    ledger.kept = (published,)
    assert story.follow(serving(1), 7, 1.0)[1]
    assert story.swapped_at is None
    text, waits = story.follow(serving(2), 7, 2.0)
    assert not waits
    assert story.swapped_at == 7
    assert text.splitlines() == [
        "round 1: drift", "round 1: published as version 2 after 0.0 s; it is better",
        "all engines have version 2 in service",
    ]  # fmt: skip
    later = replace(running, round_id="later", number=2)
    ledger.kept = (later, published)
    assert story.follow(serving(2), 9, 3.0)[1]
    ledger.kept = (replace(later, step=RoundStep.DONE, published=3, outcome="published"), published)
    assert not story.follow(serving(3), 9, 4.0)[1]
    assert (story.swapped_at, story.lines[-1]) == (7, "all engines have version 3 in service")


def test_the_stream_does_not_wait_for_a_region_that_keeps_its_version():
    done = Round("r", "m", 1, "drift", RoundStep.DONE, 0, published=2, outcome="published", held={"eu": 1})
    metrics = {region: {"driftline_model_version": 1.0 if region == "eu" else 2.0} for region in REGIONS}
    story = Story(KnownRounds(done))
    assert not story.follow(metrics, 5, 0.0)[1]
    assert story.swapped_at == 5


def test_the_stream_does_not_wait_for_ever():
    running = Round("r", "m", 1, "drift", RoundStep.STARTED, 0)
    metrics = {region: {} for region in REGIONS}
    story = Story(KnownRounds(running))
    assert story.follow(metrics, 0, 0.0)[1]
    assert story.follow(metrics, 0, ROUND_S - 1)[1]
    assert not story.follow(metrics, 0, ROUND_S)[1]
    many = Story(KnownRounds(*(replace(running, round_id=f"r{i}") for i in range(WAITED_ROUNDS + 1))))
    assert not many.follow(metrics, 0, 0.0)[1]


def test_the_engines_are_done_when_every_line_is_read_and_every_session_closed():
    def engine(lines, sessions, windows=9):
        return {
            "driftline_lines_total": float(lines), "driftline_open_sessions": float(sessions),
            "driftline_windows_total": float(windows),
        }  # fmt: skip

    assert not drained({"ap": engine(0, 0), "eu": engine(0, 0)}, 7)  # nothing is read yet
    assert not drained({"ap": {}, "eu": engine(7, 0)}, 7)
    assert not drained({"ap": engine(4, 2), "eu": engine(3, 1)}, 7)
    assert not drained({"ap": engine(4, 0, windows=0), "eu": engine(3, 1)}, 7)  # read, but not in a session yet
    assert drained({"ap": engine(4, 1), "eu": engine(3, 1)}, 7)


class SlowProducer:
    """Stands for a producer whose queue is full for the first `full` messages."""

    def __init__(self, full: int) -> None:
        self.full, self.taken = full, []

    def produce(self, topic, value):
        if self.full:
            raise BufferError("Local: Queue full")
        self.taken.append((topic, value))

    def poll(self, seconds):
        self.full -= 1

    def flush(self, seconds):
        return 0


def test_the_stream_is_steady_and_waits_for_a_slow_broker():
    stream = [("labels" if i % 2 else "logs.eu", b"%d" % i) for i in range(10)]
    slow = SlowProducer(3)
    feed = Feed(slow, stream, 5.0)
    feed.advance(0.0)
    assert slow.taken == []
    feed.advance(1.2)
    assert slow.taken == stream[:2]
    feed.advance(0.3)
    assert (feed.sent, feed.finished) == (3, False)
    feed.advance(60.0)
    assert (slow.taken, feed.finished) == (stream, True)
    assert feed.lines == 5
