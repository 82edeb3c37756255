"""`driftline alerts`: reading, answering and silencing, over files and a database."""

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Record
from connectors.jsonl import JsonlSettings, JsonlSink
from connectors.registry import build_sink
from connectors.sql_settings import SqlSettings
from engine.offline.alert_archive import FileArchive
from engine.settings import load
from engine.steps.silences import read_silences

REGION = """
region = "eu"
[source]
type = "file"
paths = ["{folder}/app.log"]
[model]
store = "{folder}/models"
[[sinks]]
type = "jsonl"
path = "{folder}/alerts.jsonl"
[dead_letters]
type = "jsonl"
path = "{folder}/dead.jsonl"
[recovery]
path = "{folder}/state"
[decide]
silences = "{folder}/silences.json"
[training]
path = "{folder}/training.db"
"""


def alert(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{number:032x}", "region": "eu", "source": "app.log", "session": "", "score": 0.9, "threshold": 0.5,
        "model": "bert_cnn", "version": 1, "first_position": number, "last_position": number,
        "first_place": "app.log, byte 1", "last_place": "app.log, byte 2",
        "first_time": f"2026-11-28T1{number}:00:00.000000000Z", "last_time": f"2026-11-28T1{number}:00:01.000000000Z",
        "line_count": 2, "closed": False, "templates": [{"id": "1" * 16, "text": "disk error on <*>", "count": 2}],
        "lines": ["disk error on sda"], "lines_omitted": 1, "explanation": None, "classification": None, "repeats": 0,
        "group": "a" * 16, "group_count": number, "created": f"2026-11-28T1{number}:00:02.000000000Z",
        "traceparent": "", "severity": ("low", "high")[number % 2], "summary": f"finding {number} of <*>", **changes,
    }  # fmt: skip


@pytest.fixture
def region(tmp_path: Path) -> Path:
    path = tmp_path / "eu.toml"
    path.write_text(REGION.format(folder=tmp_path))
    sink = JsonlSink(JsonlSettings(path=str(tmp_path / "alerts.jsonl")))
    sink.open(None)
    sink.write([Record(a["id"], "", a) for a in (alert(1), alert(2), alert(3), alert(1))])
    sink.flush(1.0)
    sink.close()
    return path


def test_alerts_are_listed_once_each_from_a_region_a_file_and_a_database(driftline, region, tmp_path):
    by_region = driftline("alerts", "list", region, "--json").out
    by_file = driftline("alerts", "list", tmp_path / "alerts.jsonl", "--json").out
    url = f"sqlite:///{tmp_path}/alerts.db"
    sink = build_sink(SqlSettings.model_validate({"url": url}))
    sink.open(None)
    sink.write([Record(a["id"], "", a) for a in (alert(1), alert(2), alert(3))])
    sink.flush(5.0)
    sink.close()
    by_url = driftline("alerts", "list", url, "--json").out
    assert [json.loads(line)["id"] for line in by_region.splitlines()] == [alert(i)["id"] for i in (1, 2, 3)]
    assert by_region == by_file == by_url


def test_alerts_are_listed_from_a_table_of_another_name_that_a_region_names(driftline, tmp_path):
    url = f"sqlite:///{tmp_path}/shared.db"
    sink = build_sink(SqlSettings.model_validate({"url": url, "table": "found"}))
    sink.open(None)
    sink.write([Record(alert(1)["id"], "", alert(1))])
    sink.flush(5.0)
    sink.close()
    path = tmp_path / "named.toml"
    file, table = f'"jsonl"\npath = "{tmp_path}/alerts.jsonl"', f'"sql"\nurl = "{url}"\ntable = "found"'
    path.write_text(REGION.format(folder=tmp_path).replace(file, table))
    assert json.loads(driftline("alerts", "list", path, "--json").out)["id"] == alert(1)["id"]
    by_url = driftline("alerts", "list", url)
    assert (by_url.code, "no table 'alerts': its tables were made with another `table`" in by_url.err) == (2, True)


def test_filters_and_the_table(driftline, region):
    def ids(*options: str) -> list[int]:
        out = driftline("alerts", "list", region, "--json", *options).out
        return [int(json.loads(line)["id"], 16) for line in out.splitlines()]

    assert ids("--severity", "high") == [1, 3]
    assert ids("--since", "2026-11-28T12:00:00Z") == [2, 3]
    assert ids("--limit", "1") == [3]
    assert ids("--group", "b") == []
    assert "finding 3 of <*>" in driftline("alerts", "list", region).out
    assert "no alerts" in driftline("alerts", "list", region, "--since", "1s").out
    refused = driftline("alerts", "list", region, "--severity", "loud")
    assert (refused.code, "one of info, low" in refused.err) == (2, True)


def test_one_alert_is_shown_by_the_beginning_of_its_id(driftline, region):
    shown = driftline("alerts", "show", region, alert(2)["id"]).out
    assert "finding 2 of <*>" in shown
    assert "| disk error on sda" in shown
    assert "2 x disk error on <*>" in shown
    several = driftline("alerts", "show", region, "0000")
    assert (several.code, "3 alerts have an id" in several.err) == (2, True)
    none = driftline("alerts", "show", region, "ffff")
    assert (none.code, "no alert has the id ffff" in none.err) == (2, True)


def test_answers_reach_the_training_store(driftline, region):
    assert driftline("alerts", "right", region, alert(1)["id"]).code == 0
    wrong = driftline("alerts", "wrong", region, alert(2)["id"], "--comment", "planned")
    assert wrong.code == 0
    assert "normal" in wrong.out
    assert "planned" in wrong.out
    from federation.storage.training_store import TrainingStore

    settings = load(region).training
    with TrainingStore(settings.path, settings, now_ns=lambda: 0) as store:
        assert store.counts().labels == 2


def test_silences_are_added_listed_and_removed(driftline, region, tmp_path):
    path = tmp_path / "silences.json"
    added = driftline("alerts", "silence", region, "--template", "^backup", "--for", "2h", "--comment", "move")
    assert added.code == 0
    assert driftline("alerts", "silence", region, "--reason", "new", "--session", "web-1").code == 0
    first, second = read_silences(path)
    assert (first.template, first.ends is not None, second.reason, second.session) == ("^backup", True, "new", "web-1")
    assert "^backup" in driftline("alerts", "silences", region).out
    assert driftline("alerts", "silences", region, "--remove", first.name).code == 0
    assert read_silences(path) == (second,)
    unknown = driftline("alerts", "silences", region, "--remove", "nope")
    assert (unknown.code, "silence-2" in unknown.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "has no condition"),
        (("--template", "("), "not a regular expression"),
        (("--template", "x", "--for", "soon"), "--for soon"),
    ],
)
def test_a_silence_that_cannot_work_is_refused(driftline, region, tmp_path, options, sentence):
    ran = driftline("alerts", "silence", region, *options)
    assert ran.code == 2
    assert sentence in ran.err
    assert not (tmp_path / "silences.json").exists()


def test_normal_from_now_on_silences_the_template_that_caused_the_alert(driftline, region, tmp_path):
    unclear = driftline("alerts", "normal", region, alert(1)["id"])
    assert (unclear.code, "--template PATTERN" in unclear.err) == (2, True)
    reasons = [{"kind": "new", "template": "disk error on <*>", "observed": 2, "usual": 0}]
    with (tmp_path / "alerts.jsonl").open("a") as file:
        file.write(json.dumps(alert(4, reasons=reasons)) + "\n")
    assert driftline("alerts", "normal", region, alert(4)["id"]).code == 0
    (rule,) = read_silences(tmp_path / "silences.json")
    assert rule.matches(1.0, "", ["disk error on <*>"])
    assert not rule.matches(1.0, "", ["disk error on <*> again"])


def test_what_is_missing_in_the_settings_is_named(driftline, region):
    text = region.read_text()
    region.write_text(text.split("[decide]")[0])
    for words, sentence in (
        (("silence", region, "--template", "x"), "decide.silences is not set"),
        (("right", region, alert(1)["id"]), "add a section [training]"),
    ):
        ran = driftline("alerts", *words)
        assert (ran.code, sentence in ran.err) == (2, True)
    region.write_text(text.replace('type = "jsonl"\npath', 'type = "jsonl"\nshape = "ocsf"\npath', 1))
    assert "no sink keeps alerts" in driftline("alerts", "list", region).err


def test_a_place_without_alerts_is_named(driftline, tmp_path):
    ran = driftline("alerts", "list", tmp_path / "nope.jsonl")
    assert (ran.code, "nope.jsonl: no such file" in ran.err) == (2, True)
    (tmp_path / "odd.jsonl").write_text("{}\n")
    assert "not an alert" in driftline("alerts", "list", tmp_path / "odd.jsonl").err


def test_a_file_is_followed_from_its_end(region, tmp_path):
    following = FileArchive(tmp_path / "alerts.jsonl").follow()
    assert next(following) is None
    with (tmp_path / "alerts.jsonl").open("a") as file:
        file.write(json.dumps(alert(4)) + "\n" + '{"torn')
    assert next(following)["id"] == alert(4)["id"]
    assert next(following) is None


def test_files_of_several_workers_are_one_archive(tmp_path):
    for worker in (0, 1):
        (tmp_path / f"alerts.{worker}.jsonl").write_text(json.dumps(alert(worker)) + "\n")
    assert [a["id"] for a in FileArchive(tmp_path / "alerts.jsonl").read()] == [alert(0)["id"], alert(1)["id"]]


def test_without_a_model_normal_only_silences_and_other_answers_say_so(driftline, region, tmp_path):
    text = region.read_text()
    region.write_text(
        text.partition("[model]")[0] + "[[sinks]]" + text.partition("[[sinks]]")[2].partition("[training]")[0]
    )
    sink = build_sink(load(region).sinks[0])
    sink.open(None)
    disk, drop = {"kind": "new", "template": "disk error on <*>"}, {"kind": "drop", "template": ""}
    reasons = [
        {**reason, "sentence": "", "observed": 1, "usual": 0, "unit": "", "examples": []} for reason in (disk, drop)
    ]
    sink.write([Record(a["id"], "", a) for a in (alert(4, reasons=[reasons[0]]), alert(5, reasons=[reasons[1]]))])
    sink.flush(1.0)
    sink.close()
    assert driftline("alerts", "normal", region, alert(4)["id"]).code == 0
    assert [rule.template for rule in read_silences(tmp_path / "silences.json")] == [r"^disk\ error\ on\ <\*>$"]
    refused = driftline("alerts", "right", region, alert(4)["id"])
    assert refused.code == 2
    assert "without [model] nothing is trained; driftline alerts normal" in refused.err
    assert (
        f"driftline alerts silence {region} --reason drop" in driftline("alerts", "normal", region, alert(5)["id"]).err
    )


def test_times_are_shown_to_the_second(driftline, region):
    assert (
        "time: 2026-11-28T11:00:00Z to 2026-11-28T11:00:01Z" in driftline("alerts", "show", region, alert(1)["id"]).out
    )
