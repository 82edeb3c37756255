"""Channels of a region: their list without secrets, and a test that reaches the service."""

import pytest

from connectors.ports import free_port
from engine.api.settings import ServeSettings
from tests.engine.api.test_region import REGION
from tests.support.http_receiver import Receiver

CHANNELS = """
[[sinks]]
type = "slack"
token = "xoxb-secret"
channel = "ops"
url = "{url}/slack"
min_severity = "high"
[[sinks]]
type = "webhook"
url = "{url}/hook?key=secret"
[[sinks]]
type = "webhook"
url = "http://127.0.0.1:{port}/"
timeout_s = 1
[[sinks]]
type = "apprise"
url = "mailto://user:secret@example.com"
"""


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def serve_settings(tmp_path, receiver):
    path = tmp_path / "region.toml"
    channels = CHANNELS.format(url=receiver.url, port=free_port())
    path.write_text(REGION.format(folder=tmp_path) + channels, "utf-8")
    return ServeSettings(region=path)


def try_out(client, name):
    return client.post(f"/api/v1/channels/{name}/test")


def test_channels_are_listed_without_secrets(log_in, receiver):
    found = log_in("viewer").get("/api/v1/channels")
    assert [(c["name"], c["target"], c["min_severity"]) for c in found.json()][:2] == [
        ("slack-1", receiver.url, "high"), ("webhook-1", receiver.url, "info"),
    ]  # fmt: skip
    assert [c["name"] for c in found.json()][2:] == ["webhook-2", "apprise-1"]
    assert found.json()[3]["target"] == "mailto://"
    assert "secret" not in found.text


def test_a_test_reaches_the_service_and_closes_what_it_opened(log_in, receiver):
    client = log_in("operator")
    assert try_out(client, "webhook-1").json() == {"delivered": True, "detail": ""}
    firing, resolved = (request.json for request in receiver.received)
    assert (firing["status"], resolved["status"], firing["groupKey"] == resolved["groupKey"]) == (
        "firing", "resolved", True,
    )  # fmt: skip
    assert "Test of this channel, requested by operator" in firing["commonAnnotations"]["summary"]
    assert try_out(client, "slack-1").json()["delivered"] is True
    assert receiver.received[-1].json["thread_ts"] == "1.5"
    (entry, _) = (e for e in log_in("admin").get("/api/v1/audit").json()["items"] if e["action"] == "channel.tested")
    assert entry["subject"] == "slack-1"


def test_why_a_test_was_not_delivered_is_the_answer(log_in, receiver):
    client = log_in("operator")
    receiver.answer = b'{"ok": false, "error": "not_in_channel"}'
    assert "not_in_channel" in try_out(client, "slack-1").json()["detail"]
    receiver.status = 422
    assert "422" in try_out(client, "webhook-1").json()["detail"]
    unreachable = try_out(client, "webhook-2").json()
    assert (unreachable["delivered"], "does not answer" in unreachable["detail"]) == (False, True)
    assert try_out(client, "webhook-9").status_code == 404
    assert try_out(log_in("viewer"), "webhook-1").status_code == 403
