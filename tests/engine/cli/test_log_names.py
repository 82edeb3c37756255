"""Every command that reads logs takes them in the same forms."""

import gzip
import sys

import orjson
import pytest

LINES = [b"2025-03-10 06:%02d:00,000 INFO app: request %d served\n" % (i % 60, i) for i in range(40)]
PNG = b"\x89PNG\r\n" + bytes(range(256))


@pytest.fixture
def logs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d" / "deep").mkdir(parents=True)
    (tmp_path / "d" / "app.log").write_bytes(b"".join(LINES[30:]))
    (tmp_path / "d" / "app.log.1.gz").write_bytes(gzip.compress(b"".join(LINES[20:30])))
    (tmp_path / "d" / "deep" / "b.log").write_bytes(b"".join(LINES[:10]))
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(b"".join(LINES[10:20])))
    (tmp_path / "image").write_bytes(PNG)
    return tmp_path


@pytest.fixture
def read(driftline, logs, monkeypatch):
    """Runs a command on names of logs, with a file as standard input; returns the number of records, or the error."""

    def run(command, names, stdin="a.log.gz"):
        if command in ("train", "evaluate", "recalibrate"):
            names = [part for name in names for part in ("--data", name)]
        arguments = {
            "parse": ["parse", *names, "-o", "out.jsonl"],
            "classify": ["classify", *names, "--json"],
            "label": ["label", *names, "-o", "out.csv", "--json"],
            "scan": ["scan", *names, "--json"],
            "train": ["train", "event_counts", *names, "--window", "time", "--json"],
            "score": ["score", *names, "--model", "event_counts", "--window", "time", "--json"],
            "recalibrate": ["models", "recalibrate", "event_counts", *names, "--window", "time", "--json"],
        }[command]
        with open(stdin, "rb") as file:
            monkeypatch.setattr(sys, "stdin", file)
            ran = driftline(*arguments)
        if ran.code:
            return ran.err.strip()
        if command == "parse":
            return len((logs / "out.jsonl").read_bytes().splitlines())
        if command == "scan":
            return sum(source["records"] for source in ran.json()["sources"])
        if command == "score":
            return sum(orjson.loads(line)["lines"] for line in ran.out.splitlines())
        return ran.json()["records"] if command in ("classify", "label") else ran.json()

    return run


ONCE = ("parse", "classify", "label", "scan")
FORMS = [(["a.log.gz", "d"], 40), (["d/app.log*", "d/**/b.log"], 30), (["-", "d/app.log"], 20), (["-"], 10)]


@pytest.mark.parametrize("command", ONCE)
@pytest.mark.parametrize(("names", "records"), FORMS)
def test_files_folders_globs_archives_and_standard_input(read, command, names, records):
    assert read(command, names) == records


def test_commands_that_train_and_score_take_the_same(read):
    for names, records in FORMS:
        assert read("train", names)["data"]["source"]
        assert read("score", names) == records
        assert read("recalibrate", names)["version"] > 1


@pytest.mark.parametrize("command", [*ONCE, "train"])
@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a.log.gz", "none.log"], "driftline: none.log: no such file, folder or match"),
        (["image"], "driftline: image is a PNG image, not a log"),
    ],
)
def test_a_name_without_a_log_is_one_sentence(read, command, names, sentence):
    assert read(command, names) == sentence


@pytest.mark.parametrize("command", ONCE)
def test_standard_input_that_is_not_a_log_is_one_sentence(read, command):
    assert read(command, ["-"], stdin="image") == "driftline: stdin is a PNG image, not a log"


def test_what_a_folder_holds_besides_logs_is_named(driftline, logs):
    (logs / "image").rename(logs / "d" / "image")
    ran = driftline("parse", "d", "-o", "out.jsonl")
    assert ran.code == 0
    assert "warning: d: files that were left out: image is a PNG image, not a log\n" in ran.err
