"""Every channel meets the contract of channels and sends what its service expects."""

import html
import itertools
import json
import logging
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.policy import default as modern
from typing import Any

import jsonschema
import pytest
from pydantic import SecretStr

from connectors.base import Record, SettingsError, SinkUnavailableError
from connectors.channels.alert_text import reason_text
from connectors.channels.alertmanager import Alertmanager, AlertmanagerSettings
from connectors.channels.apprise import AppriseChannel, AppriseSettings
from connectors.channels.base import Channel, ChannelSettings, Notice, Request
from connectors.channels.pagerduty import PagerDuty, PagerDutySettings
from connectors.channels.registry import CHANNELS
from connectors.channels.sink import ChannelSink
from connectors.channels.slack import Slack, SlackSettings
from connectors.channels.webhook import Webhook, WebhookSettings
from connectors.http_delivery import Delivery, ServiceBusyError
from connectors.ports import free_port
from tests.support.http_receiver import Receiver

SETTINGS: dict[str, ChannelSettings] = {
    "alertmanager": AlertmanagerSettings(url="http://127.0.0.1:9"),
    "pagerduty": PagerDutySettings(routing_key=SecretStr("k" * 32)),
    "slack": SlackSettings(token=SecretStr("xoxb-1"), channel="C1"),
    "webhook": WebhookSettings(url="http://127.0.0.1:9"),
    "apprise": AppriseSettings(url=SecretStr("json://127.0.0.1:9")),
}


def document(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "region": "eu", "source": "/var/log/syslog", "session": "", "group": f"{number:016x}", "severity": "high",
        "summary": "never seen: Out of memory: Killed process <NUM>", "first_time": "2026-11-28T10:00:00.000000000Z",
        "last_time": "2026-11-28T10:00:05.000000000Z", "first_place": "/var/log/syslog, byte 17",
        "created": "2026-11-28T10:00:06.000000000Z", "model": "bert_cnn", "version": 3, "line_count": 4,
        "reasons": [{"kind": "new template", "template": "Out of memory: Killed <NUM>", "observed": 4, "usual": 0}],
        "lines": ["kernel: Out of memory: Killed process 4711 (mysqld)"], "templates": [], **changes,
    }  # fmt: skip


def record(number: int = 1, **changes: Any) -> Record:
    return Record(f"id{number}", "", document(number, **changes))


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Service:
    """Takes requests in memory; `problem` makes it refuse them."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.problem: SinkUnavailableError | None = None
        self.refusal = ""

    def __call__(self, request: Request) -> Delivery:
        if self.problem is not None:
            raise self.problem
        self.requests.append(request)
        return Delivery(200, b'{"ok": true, "ts": "17.5"}', self.refusal)


@pytest.fixture(params=sorted(CHANNELS))
def channel(request: pytest.FixtureRequest) -> Channel:
    return CHANNELS[request.param].channel(SETTINGS[request.param])


def sink_of(channel: Channel, clock: Clock, service: Service, **changes: Any) -> ChannelSink:
    return ChannelSink(ChannelSettings(**changes), channel, "", repeat_s=60.0, clock=clock, send=service)


def test_every_channel_is_tried() -> None:
    assert set(SETTINGS) == set(CHANNELS)


def test_a_group_is_delivered_once_and_its_end_too(channel: Channel) -> None:
    clock, service = Clock(), Service()
    sink = sink_of(channel, clock, service)
    sink.open(None)
    sink.write([record(), record()])
    assert sink.pending() == 1
    sink.flush(1.0)
    assert sink.pending() == 0
    assert [request.groups for request in service.requests] == [("eu/0000000000000001",)]
    sink.flush(1.0)
    assert len(service.requests) == 1
    clock.now_s += 3_601.0
    sink.flush(1.0)
    assert len(service.requests) == 2
    assert service.requests[0].body != service.requests[1].body
    assert sink.snapshot()["groups"] == {}


def test_what_is_not_delivered_is_in_the_state(channel: Channel) -> None:
    clock, service = Clock(), Service()
    sink = sink_of(channel, clock, service)
    sink.open(None)
    service.problem = SinkUnavailableError("down")
    sink.write([record(1), record(2)])
    with pytest.raises(SinkUnavailableError, match="down"):
        sink.flush(1.0)
    state = json.loads(json.dumps(sink.snapshot()))
    sink.close()
    service.problem = None
    again = sink_of(channel, clock, service)
    again.open(state)
    again.flush(1.0)
    delivered = [group for request in service.requests for group in request.groups]
    assert delivered == ["eu/0000000000000001", "eu/0000000000000002"]


def test_a_service_in_trouble_is_left_alone_for_longer_each_time(channel: Channel) -> None:
    clock, service = Clock(), Service()
    sink = sink_of(channel, clock, service)
    sink.write([record()])
    tries = []

    def send(request: Request) -> Delivery:
        tries.append(clock.now_s)
        raise ServiceBusyError("busy", 120.0 if len(tries) == 3 else 0.0)

    sink._send = send
    for _ in range(400):
        with pytest.raises(SinkUnavailableError, match="busy"):
            sink.flush(1.0)
        clock.now_s += 0.5
    assert [round(b - a, 1) for a, b in itertools.pairwise(tries)] == [1.0, 2.0, 120.0, 8.0, 16.0, 32.0]


def test_what_the_service_will_never_accept_is_logged_and_holds_up_nothing(
    channel: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    clock, service = Clock(), Service()
    sink = sink_of(channel, clock, service)
    service.refusal = "https://example.com answered 400: bad label"
    sink.write([record()])
    with caplog.at_level(logging.ERROR):
        sink.flush(1.0)
    assert sink.refused == 1
    assert sink.pending() == 0
    assert "bad label" in caplog.text


def test_mild_alerts_stay_out(channel: Channel) -> None:
    clock, service = Clock(), Service()
    sink = sink_of(channel, clock, service, min_severity="high")
    sink.write([record(1, severity="low"), record(2, severity="critical"), record(3, severity=None)])
    sink.flush(1.0)
    assert [g for request in service.requests for g in request.groups] == ["eu/0000000000000002"]


def test_a_storm_is_a_digest_that_names_every_group(channel: Channel) -> None:
    clock, service = Clock(), Service()
    sink = sink_of(channel, clock, service, max_groups_per_minute=3)
    sink.write([record(i, summary=f"finding-{i:02d}") for i in range(1, 21)])
    sink.flush(1.0)
    clock.now_s += 61.0
    before = len(service.requests)
    sink.flush(1.0)
    groups = {g for request in service.requests for g in request.groups}
    assert len(groups) == 4
    text = b"".join(request.body for request in service.requests).decode()
    assert all(f"finding-{i:02d}" in text for i in range(1, 21))
    assert any("finding-20" in request.body.decode() for request in service.requests[before:])


@pytest.mark.parametrize("text", ["", "\x00\x1b[31m", "ü🦊\ud800", "<!channel> `x` & 'y' \"z\"", "x" * 100_000])
def test_any_text_makes_a_request(channel: Channel, text: str) -> None:
    alert = document(summary=text, lines=[text] * 3, source=text, reasons=[{"kind": text, "template": text}])
    for status in ("firing", "resolved"):
        notice = Notice("g", status, alert, 1, 1_000.0, 1_010.0)
        for request in channel.requests([notice]):
            json.loads(request.body)
            assert len(request.body) < 100_000


def only(channel: Channel, **changes: Any) -> dict[str, Any]:
    notice = Notice(**{"group": "eu/g", "status": "firing", "alert": {"id": "a1", **document()}, "count": 2,
                       "first_s": 1_795_000_000.0, "last_s": 1_795_000_060.0, **changes})  # fmt: skip
    (request,) = channel.requests([notice])
    found = json.loads(request.body)
    return found[0] if isinstance(found, list) else found


def test_alertmanager_gets_labels_that_do_not_change_within_a_group() -> None:
    channel = Alertmanager(AlertmanagerSettings(url="http://am:9093/", labels={"team": "db"}, link="http://d/{id}"))
    first, end = only(channel), only(channel, status="resolved", count=9)
    assert first["labels"] == end["labels"]
    assert first["labels"] == {
        "alertname": "DriftlineAnomaly", "region": "eu", "group": "eu/g", "severity": "high", "team": "db",
    }  # fmt: skip
    assert "endsAt" not in first
    assert end["endsAt"] > end["startsAt"]
    assert first["generatorURL"] == "http://d/a1"
    assert "new template" in first["annotations"]["description"]


PAGERDUTY_SCHEMA = {
    "type": "object",
    "required": ["routing_key", "event_action", "dedup_key"],
    "properties": {
        "routing_key": {"type": "string", "minLength": 32, "maxLength": 32},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "maxLength": 255},
        "payload": {
            "type": "object",
            "required": ["summary", "source", "severity"],
            "properties": {
                "summary": {"type": "string", "minLength": 1, "maxLength": 1024},
                "source": {"type": "string", "minLength": 1},
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "timestamp": {"type": "string", "pattern": "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ$"},
                "component": {"type": "string"},
                "group": {"type": "string"},
                "class": {"type": "string"},
                "custom_details": {"type": "object"},
            },
        },
        "links": {"type": "array", "items": {"required": ["href"]}},
    },
    "if": {"properties": {"event_action": {"const": "trigger"}}},
    "then": {"required": ["payload"]},
}


def test_pagerduty_gets_what_the_events_api_asks_for() -> None:
    channel = PagerDuty(PagerDutySettings(routing_key=SecretStr("k" * 32), link="http://d/{group}"))
    for changes in ({}, {"status": "resolved"}, {"digest": ("high: one (1)", "low: two (1)")}):
        event = only(channel, **changes)
        jsonschema.validate(event, PAGERDUTY_SCHEMA)
        assert event["dedup_key"] == "eu/g"
    assert only(channel, status="resolved")["event_action"] == "resolve"


def test_slack_gets_one_message_and_then_its_thread() -> None:
    channel = Slack(SlackSettings(token=SecretStr("xoxb-1"), channel="C1"))
    first = only(channel, alert=document(summary="<!here> gone"))
    assert "thread_ts" not in first
    assert "&lt;!here&gt;" in first["text"]
    later = only(channel, reference="17.5")
    assert later["thread_ts"] == "17.5"
    assert channel.answer(200, b'{"ok": true, "ts": "17.5"}').reference == "17.5"
    assert channel.answer(200, b'{"ok": false, "error": "invalid_auth"}').problem == "slack: invalid_auth"
    assert channel.answer(200, b"<html>").problem


WEBHOOK_SCHEMA = {
    "type": "object",
    "required": [
        "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels",
        "commonAnnotations", "externalURL", "alerts",
    ],
    "properties": {
        "version": {"const": "4"},
        "status": {"enum": ["firing", "resolved"]},
        "alerts": {
            "type": "array",
            "minItems": 1,
            "items": {
                "required": ["status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"],
                "properties": {"labels": {"additionalProperties": {"type": "string"}}},
            },
        },
    },
}  # fmt: skip


def test_webhooks_get_the_shape_of_alertmanager() -> None:
    channel = Webhook(WebhookSettings(url="http://x/"))
    for changes in ({}, {"status": "resolved"}, {"digest": ("high: one (1)",)}):
        jsonschema.validate(only(channel, **changes), WEBHOOK_SCHEMA)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def over_http(name: str, receiver: Receiver) -> ChannelSink:
    url = receiver.url
    settings: dict[str, Callable[[], Any]] = {
        "alertmanager": lambda: AlertmanagerSettings(url=url, headers={"Authorization": SecretStr("Bearer t")}),
        "pagerduty": lambda: PagerDutySettings(routing_key=SecretStr("k" * 32), url=url),
        "slack": lambda: SlackSettings(token=SecretStr("xoxb-1"), channel="C1", url=url),
        "webhook": lambda: WebhookSettings(url=url, headers={"X-Key": SecretStr("s")}),
        "apprise": lambda: AppriseSettings(url=SecretStr(url.replace("http://", "json://"))),
    }
    return CHANNELS[name].build(settings[name]())


@pytest.mark.parametrize("name", sorted(CHANNELS))
def test_every_channel_speaks_http(name: str, receiver: Receiver) -> None:
    sink = over_http(name, receiver)
    sink.open(None)
    sink.write([record()])
    sink.flush(5.0)
    assert sink.pending() == 0
    (got,) = receiver.received
    assert b"Out of memory" in got.body
    assert got.headers["Content-Type"].startswith("application/json")
    receiver.status = 503
    sink.write([record(2)])
    with pytest.raises(SinkUnavailableError):
        sink.flush(5.0)
    assert sink.pending() == 1
    sink.close()
    sink.close()


def test_an_address_where_nothing_listens_shows_at_the_start() -> None:
    receiver = Receiver()
    sink = over_http("webhook", receiver)
    receiver.close()
    with pytest.raises(SinkUnavailableError, match=r"http://127\.0\.0\.1:\d+ does not answer"):
        sink.open(None)


def test_secrets_in_an_address_stay_out_of_messages(receiver: Receiver) -> None:
    sink = CHANNELS["webhook"].build(WebhookSettings(url=f"{receiver.url}/T000/secret?key=secret"))
    receiver.status, receiver.answer = 500, b"oops"
    sink.write([record()])
    with pytest.raises(SinkUnavailableError) as error:
        sink.flush(5.0)
    assert "secret" not in str(error.value)
    assert "500: oops" in str(error.value)


def test_apprise_names_the_service_that_it_does_not_know() -> None:
    with pytest.raises(SettingsError, match="nosuch"):
        CHANNELS["apprise"].build(AppriseSettings(url=SecretStr("nosuch://x:secret@y")))


@pytest.mark.process
def test_mail_arrives_at_an_smtp_server() -> None:
    from aiosmtpd.controller import Controller

    mails: list[bytes] = []

    class Handler:
        async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
            mails.append(envelope.content)
            return "250 OK"

    controller = Controller(Handler(), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        url = f"mailto://127.0.0.1:{controller.port}?from=driftline@example.com&to=ops@example.com&mode=insecure"
        sink = CHANNELS["apprise"].build(AppriseSettings(url=SecretStr(url)))
        sink.open(None)
        sink.write([record(lines=["Connection from <IP> closed after <NUM> s & more"])])
        sink.flush(10.0)
    finally:
        controller.stop()
    mail = message_from_bytes(mails[0], policy=modern)
    for part in (part for part in mail.walk() if not part.is_multipart()):
        assert "Connection from <IP> closed after <NUM> s & more" in html.unescape(part.get_content())
    assert "Out of memory" in mail["Subject"]
    assert mail["To"].endswith("ops@example.com>") or mail["To"] == "ops@example.com"


def test_an_apprise_channel_says_that_a_group_is_over() -> None:
    channel = AppriseChannel(AppriseSettings(url=SecretStr("json://h")))
    assert only(channel, status="resolved")["notify_type"] == "success"


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ({"kind": "new", "template": "disk full", "observed": 4, "usual": 0}, "new: disk full: 4, usually 0"),
        ({"kind": "level", "template": "", "sentence": "warn lines: 10 times"}, "warn lines: 10 times"),
        ({"kind": "new", "template": "disk full", "sentence": "disk full: once so far"}, "disk full: once so far"),
        ({"kind": "new", "template": "disk full", "sentence": "4 lines"}, "disk full: 4 lines"),
    ],
)
def test_reasons_are_given_in_their_sentence(reason, text):
    assert reason_text(reason) == text
