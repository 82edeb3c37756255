"""Alerts and groups: lists, filters, pages, answers, life, export."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.offline.export import spreadsheet_text
from foundation.content_ids import document_id
from tests.engine.api.conftest import alert, at

GROUP_B = "00000000000000bb"


@pytest.fixture
def client(log_in):
    return log_in("operator")


@pytest.fixture
def stored(add_alerts):
    add_alerts(
        alert("a", 10),
        alert("b", 20, group=GROUP_B, severity="low", summary="50% more_lines", source="b.log"),
        alert("c", 30),
        alert("d", 40, reasons=[], summary="slow", version=4),
    )


def titles(answer):
    return [item["title"] for item in answer.json()["items"]]


def names(answer):
    known = {document_id(name): name for name in "abcdefgh"}
    return "".join(known[item["id"]] for item in answer.json()["items"])


def test_alerts_are_listed_newest_first(client, stored):
    answer = client.get("/api/v1/alerts")
    assert names(answer) == "dcba"
    first = answer.json()["items"][-1]
    assert (first["severity"], first["kind"], first["status"], first["answer"]) == ("high", "new", "open", None)
    assert first["cause"] == "disk <*> failed"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"severity": "medium"}, "dca"), ({"group": GROUP_B}, "b"), ({"source": "b.log"}, "b"),
        ({"kind": "score"}, "d"),
        ({"version": 4}, "d"), ({"region": "us"}, ""), ({"status": "open"}, "dcba"), ({"answer": "none"}, "dcba"),
        ({"text": "50%"}, "b"), ({"text": "_LINES"}, "b"), ({"text": "%"}, "b"), ({"text": "DISK"}, "cba"),
        ({"since": at(20)}, "dcb"), ({"until": at(20)}, "a"), ({"since": at(15), "until": at(35)}, "cb"),
        ({"line_class": ""}, "dcba"), ({"model": "bert_cnn", "session": "s1"}, "dcba"),
    ],
)  # fmt: skip
def test_filters(client, stored, query, expected):
    assert names(client.get("/api/v1/alerts", params=query)) == expected


def test_pages_stay_valid_while_alerts_arrive(client, stored, add_alerts):
    first = client.get("/api/v1/alerts", params={"limit": 2})
    add_alerts(alert("e", 50), alert("f", 5))
    second = client.get("/api/v1/alerts", params={"limit": 2, "cursor": first.json()["next_cursor"]})
    third = client.get("/api/v1/alerts", params={"limit": 2, "cursor": second.json()["next_cursor"]})
    assert [names(page) for page in (first, second, third)] == ["dc", "ba", "f"]
    assert third.json()["next_cursor"] is None


@pytest.mark.parametrize("query", [{"cursor": "x"}, {"cursor": "WzEsMl0"}, {"since": "yesterday"}, {"limit": 0}])
def test_wrong_parameters_are_problems_in_one_sentence(client, query):
    answer = client.get("/api/v1/alerts", params=query)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith(next(iter(query)))


def test_the_detail_has_the_document_and_earlier_alerts_of_the_group(client, stored):
    found = client.get(f"/api/v1/alerts/{document_id('c')}").json()
    assert found["document"]["lines"] == ["disk 1 failed"]
    assert [item["id"] for item in found["similar"]] == [document_id("a")]
    assert client.get("/api/v1/alerts/none").status_code == 404


def test_groups_are_listed_with_their_latest_alert(client, stored):
    found = client.get("/api/v1/groups").json()["items"]
    assert [(g["id"][-2:], g["alerts"], g["severity"], g["latest"]["title"]) for g in found] == [
        ("aa", 3, "high", "slow"), ("bb", 1, "low", "50% more_lines"),
    ]  # fmt: skip
    page = client.get("/api/v1/groups", params={"limit": 1}).json()
    rest = client.get("/api/v1/groups", params={"limit": 1, "cursor": page["next_cursor"]}).json()
    assert [page["items"][0]["id"], rest["items"][0]["id"]] == [g["id"] for g in found]


def act(client, group, action, **more):
    return client.post(f"/api/v1/groups/{group}/actions", json={"action": action, "comment": "because"}, **more)


def test_the_life_of_a_group(client, stored, add_alerts, clock):
    group = "00000000000000aa"
    assert act(client, group, "acknowledge").json()["group"]["status"] == "acknowledged"
    clock.now_s += 10
    assert act(client, group, "resolve").json()["group"]["status"] == "resolved"
    assert names(client.get("/api/v1/alerts", params={"status": "open"})) == "b"
    assert names(client.get("/api/v1/alerts", params={"status": "resolved"})) == "dca"
    add_alerts(alert("e", clock.now_s + 5))
    found = client.get(f"/api/v1/groups/{group}").json()
    assert found["group"]["status"] == "open", "an alert that is newer than the resolution opens it again"
    assert act(client, group, "reopen").json()["group"]["revision"] == 3
    assert [e["event"] for e in found["events"]] == ["resolve", "acknowledge"]
    assert found["events"][0]["comment"] == "because"
    assert act(client, "none", "resolve").status_code == 404


def test_of_two_operators_who_saw_the_same_group_one_is_refused(client, stored):
    tag = client.get(f"/api/v1/groups/{GROUP_B}").headers["etag"]
    assert act(client, GROUP_B, "resolve", headers={"If-Match": tag}).status_code == 200
    refused = act(client, GROUP_B, "reopen", headers={"If-Match": tag})
    assert (refused.status_code, refused.json()["title"]) == (412, "Precondition Failed")
    assert act(client, GROUP_B, "reopen", headers={"If-Match": 'W/"1"'}).status_code == 200
    assert act(client, GROUP_B, "reopen", headers={"If-Match": "x"}).status_code == 412


def test_several_groups_at_once(client, stored):
    asked = {"action": "resolve", "groups": ["00000000000000aa", "none", GROUP_B]}
    found = client.post("/api/v1/groups/actions", json=asked).json()
    assert found["changed"] == ["00000000000000aa", GROUP_B]
    assert found["failed"] == {"none": "group 'none' does not exist"}


def test_an_answer_without_a_region_is_kept(client, stored):
    url = f"/api/v1/alerts/{document_id('a')}/feedback"
    found = client.post(url, json={"answer": "wrong", "comment": "restart"}).json()
    assert (found["answer"], found["in_training_store"], found["silence"]) == ("wrong", None, None)
    assert client.post(url, json={"answer": "right"}).status_code == 200
    assert names(client.get("/api/v1/alerts", params={"answer": "right"})) == "a"
    assert client.post(url, json={"answer": "normal"}).status_code == 409
    events = client.get(f"/api/v1/alerts/{document_id('a')}").json()["events"]
    assert [e["event"] for e in events] == ["right", "wrong"]


def test_exports_have_every_alert_and_no_formula(client, stored, add_alerts):
    add_alerts(alert("e", 60, summary='=HYPERLINK("http://evil","x")', session="-1+1"))
    answer = client.get("/api/v1/alerts/export", params={"since": at(15)})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    formula = '\'=HYPERLINK("http://evil","x")'
    assert [row["title"] for row in rows] == [formula, "slow", "a new line", "50% more_lines"]
    assert rows[0]["session"] == "'-1+1"
    lines = client.get("/api/v1/alerts/export", params={"format": "json"}).text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [document_id(name) for name in "edcba"]


@given(st.text())
def test_no_cell_of_a_spreadsheet_begins_a_formula(text):
    cell = spreadsheet_text(text)
    assert cell.lstrip(" ")[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n")
    assert cell in (text, "'" + text)


def test_long_answers_are_compressed_and_long_bodies_refused(client, add_alerts):
    add_alerts(*(alert(f"n{i}", i) for i in range(30)))
    answer = client.get("/api/v1/alerts")
    assert answer.headers["content-encoding"] == "gzip"
    refused = client.post("/api/v1/tokens", content=b"x" * 1_000_001)
    assert (refused.status_code, refused.headers["content-type"]) == (413, "application/problem+json")
    refused = client.post("/api/v1/tokens", content=(b"x" * 600_000 for _ in range(2)))
    assert refused.status_code == 413


def test_other_hosts_and_nul_characters_are_refused(client):
    assert client.get("/health", headers={"Host": "evil.example"}).status_code == 421
    assert client.get("/health", headers={"Host": "[::1]:8600"}).status_code == 200
    assert client.get("/api/v1/alerts?text=%00").status_code == 400
    assert client.get("/api/v1/alerts/%00").status_code == 400


def test_every_answer_has_a_policy_without_inline_scripts(client):
    for path in ("/", "/health", "/api/v1/alerts", "/none"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "script-src" not in policy


def test_a_database_that_cannot_be_read_is_a_503(client, services, monkeypatch):
    import sqlalchemy as sa

    def broken(*_):
        raise sa.exc.OperationalError("SELECT", {}, Exception("disk I/O error"))

    assert client.get("/health").json()["status"] == "healthy"
    monkeypatch.setattr(type(services.database._engine), "connect", broken)
    answer = client.get("/api/v1/alerts")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "disk I/O error" in answer.json()["detail"]
    health = client.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "unhealthy")


def test_what_belongs_to_a_coordinator_needs_one(client):
    for path in ("/api/v1/rounds", "/api/v1/rounds/audit", "/api/v1/rounds/x"):
        assert client.get(path).status_code == 409
    assert client.get("/api/v1/silences").json() == []
    assert client.post("/api/v1/silences", json={"template": "x"}).status_code == 409
