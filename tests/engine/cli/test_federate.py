import base64
import itertools
import json
import shutil
from dataclasses import replace

import pytest

from engine.runtime import federation_wiring
from federation.coordinator.ledger import Ledger
from federation.round.round_files import add_step
from models.storage.store import ModelStore
from tests.support.coordinator_process import (
    MODEL,
    CoordinatorProcess,
    ManualWallClock,
    drift,
    publish_first,
    publish_round,
)

COORDINATOR = """
model = "floor"
store = "{base}/models"
folder = "{base}"
regions = ["ap", "eu", "us"]

[superlink]
folder = "{base}/superlink"
port = {port}

[events]
type = "memory"

[dead_letters]
type = "jsonl"
path = "{base}/dead.jsonl"

[telemetry]
port = 0
"""


@pytest.fixture
def file(tmp_path):
    """A coordinator's file over a folder in which a round has been."""
    publish_round(tmp_path)
    path = tmp_path / "coordinator.toml"
    path.write_text(COORDINATOR.format(base=tmp_path, port=19092))
    return path


def test_status_shows_regions_and_rounds(driftline, file):
    document = json.loads(driftline("federate", "status", file, "--json").out)
    (row,) = document["rounds"]
    assert (row["from"], row["to"], row["outcome"]) == (1, 2, "published")
    assert {r["region"]: (r["attended"], r["missed"]) for r in document["regions"]} == {
        "ap": (0, 1), "eu": (1, 0), "us": (1, 0)
    }  # fmt: skip
    assert document["running"] is False
    ran = driftline("federate", "status", file)
    assert ran.code == 0
    assert "no coordinator runs here" in ran.out
    assert "published" in ran.out


def test_status_and_audit_show_the_figures_of_each_region(driftline, file):
    for command in ("status", "audit"):
        said = driftline("federate", command, file).out
        assert "eu: F1 0.5000 became 0.9000 on 10 labelled; 3 alerts would have been added, 2 dropped; takes" in said
        assert "why: drift in eu" in said
        assert "who: eu, us; missing: ap" in said


def test_status_shows_the_phase_of_a_round_and_who_is_awaited(driftline, file, tmp_path):
    clock = ManualWallClock()
    process = CoordinatorProcess(tmp_path, clock, ids=itertools.count(7), looks=10**9)
    clock.advance(600)
    process.ledger.record([drift("d2", clock.ns, version=2)])
    clock.advance(6)
    process.ticks(4)
    folder = tmp_path / "rounds" / process.ledger.open_round().round_id
    process.close()
    assert "now: hello: regions report their names; awaited: ap, eu, us" in driftline("federate", "status", file).out
    add_step(folder, "hello", {"regions": 3, "present": "ap eu us"})
    add_step(folder, "pass", {"number": 0, "present": "eu us"})
    now = json.loads(driftline("federate", "status", file, "--json").out)["now"]
    assert (now["phase"], now["awaited"], now["silent"]) == ("training, pass 2 of 4", ["eu", "us"], ["ap"])
    add_step(folder, "threshold", {"present": "eu us"})
    assert (
        "comparison on the holdouts; awaited: eu, us; no valid answer: ap" in driftline("federate", "status", file).out
    )


def test_status_shows_what_is_left_of_the_privacy_budget(driftline, file, tmp_path):
    assert "privacy" not in json.loads(driftline("federate", "status", file, "--json").out)
    file.write_text(file.read_text() + '\n[round.privacy]\nmode = "dp"\nepsilon = 4.0\n')
    with Ledger(tmp_path / "ledger.db") as ledger:
        (found,) = ledger.rounds(1)
        ledger.save(replace(found, epsilon=1.5))
    document = json.loads(driftline("federate", "status", file, "--json").out)
    assert document["privacy"] == {"budget": 4.0, "spent": 1.5, "left": 2.5, "last_round": 1.5}
    said = driftline("federate", "status", file).out
    assert "epsilon 1.50 of 4 spent by the region that has spent most, 2.50 left; the last round cost 1.50" in said


def test_models_list_shows_who_serves_a_version_and_its_figures(driftline, file, tmp_path):
    ModelStore(tmp_path / "models").promote(MODEL, 2, {"us": 1})
    rows = driftline("models", "list", "--store", tmp_path / "models", "--json").json()
    assert [(r["version"], r["current"], r["regions"]) for r in rows] == [(1, False, ["us"]), (2, True, [])]
    assert rows[1]["by_region"]["eu"] == {
        "before": 0.5, "after": 0.9, "labelled": 10, "adopts": 1, "alerts_added": 3, "alerts_dropped": 2,
    }  # fmt: skip
    assert rows[1]["reason"] == "drift in eu"
    said = driftline("models", "list", "--store", tmp_path / "models").out
    assert "eu: F1 0.5000 became 0.9000" in said
    assert "others" in said


def test_what_regions_say_is_no_markup(driftline, file, tmp_path):
    clock = ManualWallClock()
    process = CoordinatorProcess(tmp_path, clock, ids=itertools.count(7))
    strange = replace(drift("d2", clock.ns), text="drift in [/eu]", version=2)
    clock.advance(600)
    process.ledger.record([strange])
    process.ticks(12)
    process.close()
    ran = driftline("federate", "status", file)
    assert ran.code == 0
    assert "drift in [/eu]" in ran.out


def test_a_round_that_was_asked_for_waits_in_the_ledger(driftline, file):
    ran = driftline("federate", "round", file, "--reason", "release-7")
    assert ran.code == 0
    assert "the round is requested" in ran.out
    assert json.loads(driftline("federate", "status", file, "--json").out)["triggers"] == 1
    assert driftline("federate", "round", file, "--wait", "0.01").code == 1


def test_the_audit_log_is_checked_and_shown(driftline, file, tmp_path):
    ran = driftline("federate", "audit", file, "--verify")
    assert ran.code == 0
    assert "1 entry, unchanged" in ran.out
    (entry,) = map(json.loads, driftline("federate", "audit", file, "--json").out.splitlines())
    assert (entry["event"], entry["to"]) == ("published", 2)
    assert "published" in driftline("federate", "audit", file).out
    log = tmp_path / "audit.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"windows":900', b'"windows":901'))
    ran = driftline("federate", "audit", file, "--verify")
    assert ran.code == 2
    assert "line 1 was changed" in ran.err
    assert "Traceback" not in ran.err


def test_a_rollback_is_on_record(driftline, file):
    ran = driftline("models", "rollback", MODEL, "--coordinator", file, "--reason", "noise")
    assert ran.code == 0
    assert "floor is at version 1 now" in ran.out
    ran = driftline("federate", "audit", file, "--verify")
    assert "2 entries" in ran.out
    entry = json.loads(driftline("federate", "audit", file, "--json").out.splitlines()[-1])
    assert (entry["event"], entry["to"], entry["reason"]) == ("rolled_back", 1, "noise")
    ran = driftline("models", "rollback", MODEL, "--coordinator", file)
    assert ran.code == 2
    assert "no version before 1" in ran.err


def test_a_rollback_beside_a_running_coordinator_says_whether_it_is_done(driftline, file, tmp_path, monkeypatch):
    monkeypatch.setattr(federation_wiring, "is_running", lambda settings: True)
    monkeypatch.setattr(federation_wiring, "ROLLBACK_WAIT_S", 0.0)
    ran = driftline("models", "rollback", MODEL, "--coordinator", file)
    assert ran.code == 1
    assert "the rollback of floor to version 1 is recorded" in ran.out
    assert ModelStore(tmp_path / "models").current(MODEL) == 2
    process = CoordinatorProcess(tmp_path, ManualWallClock())
    process.ticks(2)
    process.close()
    assert ModelStore(tmp_path / "models").current(MODEL) == 1


def test_keys_are_made_once_and_regions_may_come_later(driftline, tmp_path):
    out = tmp_path / "keys"
    ran = driftline("federate", "keys", "--out", out, "--host", "coordinator.example", "--region", "eu")
    assert ran.code == 0
    assert (out / "nginx.conf").is_file()
    assert (out / "nodes" / "eu.key").stat().st_mode & 0o777 == 0o600
    assert driftline("federate", "keys", "--out", out, "--region", "us").code == 0
    ran = driftline("federate", "keys", "--out", out, "--region", "us")
    assert ran.code == 2
    assert "not overwritten" in ran.err


def test_a_region_that_takes_no_part_says_what_is_missing(driftline, tmp_path):
    region = tmp_path / "region.toml"
    region.write_text(
        'region = "eu"\n[source]\ntype = "memory"\n[parse]\nformat = "hdfs"\n[window]\nkind = "session"\n'
        f'[model]\nstore = "{tmp_path}/models"\n[[sinks]]\ntype = "memory"\n[dead_letters]\ntype = "memory"\n'
        f'[recovery]\npath = "{tmp_path}/state"\n'
    )
    ran = driftline("federate", "node", region)
    assert ran.code == 2
    assert "section [node]" in ran.err
    region.write_text(region.read_text() + f'[node]\nfolder = "{tmp_path}/node"\n')
    ran = driftline("federate", "node", region)
    assert ran.code == 2
    assert "has no [training]" in ran.err


def test_check_covers_the_coordinator(driftline, file, tmp_path):
    ran = driftline("check", file, "--json")
    document = {f["name"]: f for f in json.loads(ran.out)["findings"]}
    assert document["model"]["ok"]
    assert "1 audit entries, unchanged" in document["ledger and audit log"]["detail"]
    assert document["superlink"]["ok"]
    shutil.rmtree(tmp_path / "models")
    ran = driftline("check", file, "--json")
    assert ran.code == 2
    assert not next(f for f in json.loads(ran.out)["findings"] if f["name"] == "model")["ok"]


def test_what_is_wrong_in_the_file_is_told_by_its_key(driftline, file):
    file.write_text(file.read_text().replace('regions = ["ap", "eu", "us"]', "regionz = 1"))
    ran = driftline("federate", "status", file)
    assert ran.code == 2
    assert "coordinator.toml: regionz: unknown key" in ran.err


def test_check_covers_a_regions_part_in_rounds(driftline, tmp_path, monkeypatch):
    publish_first(tmp_path)
    (tmp_path / "eu.log").touch()
    region = tmp_path / "eu.toml"
    region.write_text(
        f'region = "eu"\n[source]\ntype = "file"\npaths = ["{tmp_path}/eu.log"]\n[parse]\nformat = "hdfs"\n'
        f'[window]\nkind = "session"\n[model]\nstore = "{tmp_path}/models"\nname = "floor"\n'
        '[[sinks]]\ntype = "memory"\n[dead_letters]\ntype = "memory"\n'
        f'[recovery]\npath = "{tmp_path}/state"\n[telemetry]\nserve = false\n'
        f'[training]\npath = "{tmp_path}/training.db"\n'
        f'[node]\nfolder = "{tmp_path}/node"\nsuperlink = "127.0.0.1:1"\n'
        '[[labels]]\n[labels.source]\ntype = "memory"\n[labels.dead_letters]\ntype = "memory"\n'
    )
    monkeypatch.setenv("DRIFTLINE_TRAINING__KEY", base64.b64encode(bytes(32)).decode())
    document = {f["name"]: f for f in json.loads(driftline("check", region, "--json").out)["findings"]}
    assert document["training store"]["ok"]
    assert "0 windows, 0 labels, encrypted" in document["training store"]["detail"]
    assert document["labels 0 (memory)"]["ok"]
    assert not document["node"]["ok"]
    assert "127.0.0.1:1 does not answer (Connection refused); the coordinator has to run" in document["node"]["detail"]
    assert not (tmp_path / "node").exists()  # a running node's folder is not touched
    monkeypatch.delenv("DRIFTLINE_TRAINING__KEY")
    document = {f["name"]: f for f in json.loads(driftline("check", region, "--json").out)["findings"]}
    assert "is encrypted; set the key" in document["training store"]["detail"]
