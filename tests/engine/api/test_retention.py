"""What is older than the settings keep is deleted, and nothing else."""

import pytest

from connectors.sql_schema import ALERTS
from engine.api.retention import delete_old
from engine.api.settings import ServeSettings
from tests.engine.api.conftest import alert

DAY_S = 86_400


@pytest.fixture
def serve_settings(store):
    return ServeSettings(store=store, retention={"audit_days": 2, "events_days": 3})


def counts(client):
    def number(path):
        return len(client.get(f"/api/v1/{path}").json()["items"])

    group = client.get(f"/api/v1/groups/{alert('a', 0)['group']}").json()
    return number("audit"), len(group["events"]), number("alerts")


def test_each_kind_of_row_has_its_own_days(log_in, services, add_alerts, clock):
    add_alerts(alert("a", clock.now_s), alert("b", clock.now_s - 300 * DAY_S))
    admin = log_in("admin")
    admin.post(f"/api/v1/groups/{alert('a', 0)['group']}/actions", json={"action": "acknowledge"})
    admin.post("/api/v1/markers", json={"label": "release"})
    assert delete_old(services) == 0
    clock.now_s += 2.5 * DAY_S
    assert delete_old(services) == 3, "the login and two entries of the audit log"
    admin = log_in("admin")
    assert counts(admin) == (1, 1, 2)
    clock.now_s += DAY_S
    assert delete_old(services) == 2, "the decision and the marker"
    assert counts(log_in("admin")) == (2, 0, 2)


def test_answers_to_alerts_that_are_gone_are_deleted(log_in, services, add_alerts):
    old, new = alert("old", 1), alert("new", 2)
    add_alerts(old, new)
    client = log_in("operator")
    for found in (old, new):
        client.post(f"/api/v1/alerts/{found['id']}/feedback", json={"answer": "wrong"})
    assert delete_old(services) == 0
    with services.database.write() as connection:
        connection.execute(ALERTS.delete().where(ALERTS.c.id == old["id"]))
    assert delete_old(services) == 1
    (left,) = client.get("/api/v1/alerts").json()["items"]
    assert (left["id"], left["answer"]) == (new["id"], "wrong")
