"""The stream of alerts: new ones once, missed ones after a reconnect, slow listeners, odd characters."""

import asyncio
import json

import pytest

from engine.api import events
from engine.api.events import AlertStream, cursor_of, event_text
from foundation.content_ids import document_id
from tests.engine.api.conftest import alert, at


def ids(rows):
    known = {document_id(name): name for name in "abcdefgh"}
    return "".join(known[row["id"]] for row in rows)


@pytest.fixture
def stream(services):
    return AlertStream(services)


def test_every_alert_is_read_once_also_one_that_commits_late(stream, add_alerts, clock):
    now = clock.now_s
    add_alerts(alert("a", now - 100), alert("b", now + 1))
    assert ids(stream.read_new()) == "b", "older ones were there before"
    add_alerts(alert("c", now + 3), alert("d", now - 10))
    assert ids(stream.read_new()) == "dc"
    add_alerts(alert("c", now + 3, score=1.0))
    assert ids(stream.read_new()) == ""


def test_a_listener_gets_what_it_missed_and_then_what_is_new(stream, add_alerts, services):
    async def story():
        add_alerts(alert("a", 10), alert("b", 100), alert("c", 110))
        found = stream.listen(f"{at(100)} {document_id('b')}")
        texts = [await anext(found) for _ in range(3)]
        add_alerts(alert("d", 100_001))
        stream.publish(stream.read_new())
        texts.append(await anext(found))
        await found.aclose()
        return texts

    retry, *texts = asyncio.run(story())
    assert retry == "retry: 2000\n\n"
    content = [json.loads(text.splitlines()[2].removeprefix("data: ")) for text in texts]
    assert ids(content) == "bcd"
    assert texts[-1].splitlines()[1] == f"id: {at(100_001)} {document_id('d')}"


def test_no_character_breaks_an_event(services, add_alerts):
    odd = "a\u2028b\u0085c\u000bd\u000ce\nf\r\u2029"
    add_alerts(alert("a", 100_001, summary="x" + odd, session=odd))
    (row,) = AlertStream(services).read_new()
    text = event_text(row)
    assert text.isascii()
    assert len(text.splitlines()) == 4
    assert json.loads(text.splitlines()[2].removeprefix("data: "))["session"] == odd
    assert cursor_of(row) in text


def test_a_listener_that_does_not_keep_up_is_ended(stream, monkeypatch):
    monkeypatch.setattr(events, "QUEUE", 2)

    async def story():
        found = stream.listen("")
        await anext(found)
        row = {name: "" for name in events.select_alerts().selected_columns.keys()}
        stream.publish([row | {"severity": 1, "score": 0.0, "threshold": 0.0, "version": 1, "status": "open",
                               "answer": None, "id": str(i)} for i in range(3)])  # fmt: skip
        return [text async for text in found]

    assert len(asyncio.run(story())) == 2


def test_a_cursor_that_is_not_one_is_refused(log_in):
    answer = log_in("viewer").get("/api/v1/alerts/stream", headers={"Last-Event-ID": "x y"})
    assert answer.status_code == 422
