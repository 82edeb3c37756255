"""Models and rounds: versions, comparison, rollback, the ledger and the verified audit log."""

import pytest

from engine.api.settings import ServeSettings
from federation.coordinator.ledger import Ledger
from federation.round.round_files import add_step
from models.storage.store import ModelStore
from tests.support.coordinator_process import publish_round

COORDINATOR = """
model = "floor"
store = "{base}/models"
folder = "{base}"
regions = ["ap", "eu", "us"]
[superlink]
folder = "{base}/superlink"
[events]
type = "memory"
[dead_letters]
type = "memory"
"""


@pytest.fixture
def serve_settings(store, tmp_path):
    """A service of a coordinator in whose folder a round has published version 2."""
    publish_round(tmp_path)
    path = tmp_path / "coordinator.toml"
    path.write_text(COORDINATOR.format(base=tmp_path), "utf-8")
    return ServeSettings(store=store, coordinator=path)


def test_versions_are_listed_shown_and_compared(log_in):
    client = log_in("viewer")
    (model,) = client.get("/api/v1/models").json()
    assert (model["name"], model["current"], [v["version"] for v in model["versions"]]) == ("floor", 2, [2, 1])
    assert [v["round"] for v in model["versions"]] == [1, None]
    card = client.get("/api/v1/models/floor/versions/2").json()["card"]
    assert card["participants"] == ["eu", "us"]
    found = client.get("/api/v1/models/floor/compare", params={"a": 1, "b": 2}).json()
    changes = {difference["field"]: difference for difference in found["differences"]}
    assert (changes["version"]["a"], changes["version"]["b"], changes["version"]["change"]) == (1, 2, 1)
    assert "name" not in changes
    assert client.get("/api/v1/models/floor/versions/9").status_code == 404
    assert client.get("/api/v1/models/none/versions/1").status_code == 404


def test_a_version_whose_card_is_damaged_is_listed_with_the_fault(log_in, tmp_path):
    (tmp_path / "models" / "floor" / "1" / "card.json").write_text("{", "utf-8")
    (model,) = log_in("viewer").get("/api/v1/models").json()
    assert [bool(version["fault"]) for version in model["versions"]] == [False, True]


def test_a_rollback_is_recorded(log_in, tmp_path):
    admin = log_in("admin")
    assert log_in("operator").post("/api/v1/models/floor/rollback", json={}).status_code == 403
    answer = admin.post("/api/v1/models/floor/rollback", json={"reason": "noise"}).json()
    assert answer == {"name": "floor", "version": 1, "done": True}
    assert ModelStore(tmp_path / "models").current("floor") == 1
    entries = admin.get("/api/v1/rounds/audit").json()["entries"]
    assert entries[-1]["event"] == "rolled_back"
    assert "noise (admin" in str(entries[-1])
    assert admin.post("/api/v1/models/floor/rollback", json={"to": 9}).status_code == 409


def test_rounds_are_listed_and_asked_for(log_in, tmp_path):
    client = log_in("operator")
    found = client.get("/api/v1/rounds").json()
    (done,) = found["rounds"]
    assert (done["outcome"], done["published"], done["participants"], done["missing"]) == (
        "published", 2, ["eu", "us"], ["ap"],
    )  # fmt: skip
    assert {r["name"]: r["missed"] for r in found["regions"]} == {"ap": 1, "eu": 0, "us": 0}
    assert found["running"] is False
    assert client.get(f"/api/v1/rounds/{done['round_id']}").json() == done
    assert client.get("/api/v1/rounds/none").status_code == 404
    asked = client.post("/api/v1/rounds", json={"reason": "release 7"})
    assert asked.status_code == 202
    with Ledger(tmp_path / "ledger.db") as ledger:
        (trigger,) = ledger.pending()
    assert (trigger.id, trigger.kind) == (asked.json()["trigger"], "manual")
    assert trigger.text.startswith("release 7 (operator")


def test_the_steps_of_a_round_and_its_bytes_are_shown(log_in, tmp_path):
    client = log_in("viewer")
    (done,) = client.get("/api/v1/rounds").json()["rounds"]
    assert (done["steps"], done["traffic"]) == ([], []), "this round had no ServerApp"
    folder = tmp_path / "rounds" / done["round_id"]
    add_step(folder, "hello", {"regions": 2, "bytes_to.eu": 10.0, "bytes_from.eu": 2.0, "present": "eu us"})
    add_step(folder, "gate", {"accepted": 1.0, "bytes_to.eu": 30.0, "bytes_to.us": 30.0, "bytes_from.eu": 9.0})
    found = client.get(f"/api/v1/rounds/{done['round_id']}").json()
    assert [(step["name"], step["figures"]) for step in found["steps"]] == [
        ("hello", {"regions": 2.0, "present": "eu us"}), ("gate", {"accepted": 1.0}),
    ]  # fmt: skip
    assert found["traffic"] == [
        {"region": "eu", "sent": 30, "received": 9}, {"region": "us", "sent": 30, "received": 0},
    ]  # fmt: skip
    (folder / "steps.jsonl").write_text("{\n", "utf-8")
    assert client.get(f"/api/v1/rounds/{done['round_id']}").json()["steps"] == []


def test_a_changed_audit_log_is_reported(log_in, tmp_path):
    client = log_in("viewer")
    assert client.get("/api/v1/rounds/audit").json()["intact"] is True
    path = tmp_path / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b"published", b"publisheb", 1))
    found = client.get("/api/v1/rounds/audit").json()
    assert (found["intact"], found["entries"]) == (False, [])
    assert "line 1" in found["fault"]
