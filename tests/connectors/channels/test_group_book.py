"""The book of groups: nothing is lost, nothing is repeated without reason, storms become digests."""

import json

from hypothesis import given
from hypothesis import strategies as st

from connectors.channels.base import Notice
from connectors.channels.group_book import GroupBook, group_of
from foundation.documents.alert import SEVERITIES


def new_book(**changes) -> GroupBook:
    return GroupBook(**{"update_s": 300.0, "resolve_after_s": 3600.0, "max_groups_per_minute": 20, **changes})


def alert(number: int, severity: str = "medium") -> dict:
    return {
        "id": f"a{number}",
        "summary": f"finding {number}",
        "severity": severity,
        "region": "eu",
        "group": f"g{number}",
    }


def send(book: GroupBook, now_s: float) -> list[Notice]:
    notices = book.due(now_s)
    for notice in notices:
        book.delivered(notice, now_s)
    book.forget_ended(now_s)
    return notices


def test_a_group_is_reported_once_then_on_news_then_its_end():
    book = new_book()
    book.add("g", alert(1), 0.0)
    assert [n.status for n in send(book, 0.0)] == ["firing"]
    book.add("g", alert(2), 10.0)
    assert send(book, 20.0) == []
    (update,) = send(book, 301.0)
    assert (update.count, update.status) == (2, "firing")
    assert send(book, 700.0) == []
    (end,) = send(book, 3610.0)
    assert (end.status, end.count) == ("resolved", 2)
    assert len(book) == 0


def test_a_more_severe_alert_is_news_at_once_and_a_milder_one_is_not():
    book = new_book()
    book.add("g", alert(1, "low"), 0.0)
    send(book, 0.0)
    book.add("g", alert(2, "critical"), 1.0)
    (notice,) = send(book, 1.0)
    assert notice.alert["severity"] == "critical"
    book.add("g", alert(3, "low"), 2.0)
    assert send(book, 2.0) == []
    assert book.due(302.0)[0].alert["id"] == "a2"


def test_reminders_come_only_where_they_are_wanted():
    plain, reminding = new_book(), new_book(repeat_s=60.0)
    for book in (plain, reminding):
        book.add("g", alert(1), 0.0)
        send(book, 0.0)
    assert send(plain, 61.0) == []
    assert len(send(reminding, 61.0)) == 1
    assert send(reminding, 62.0) == []


def test_a_storm_is_one_digest_that_names_every_group():
    book = new_book(max_groups_per_minute=5)
    for number in range(1000):
        book.add(f"g{number}", alert(number, SEVERITIES[number % 5]), number / 1000)
    first = send(book, 2.0)
    assert len(first) == 5
    assert not any(notice.digest for notice in first)
    (digest,) = send(book, 61.0)
    assert len(digest.digest) == 995
    assert digest.digest[0].startswith("critical: ")
    reported = {line.split(": ", 1)[1].rsplit(" (", 1)[0] for line in digest.digest}
    assert reported | {n.alert["summary"] for n in first} == {f"finding {i}" for i in range(1000)}
    assert send(book, 62.0) == []
    assert {n.status for n in send(book, 4000.0)} == {"resolved"}
    assert len(book) == 0


def test_an_undelivered_notice_stays_due_over_a_restart():
    book = new_book(max_groups_per_minute=2)
    for number in range(4):
        book.add(f"g{number}", alert(number), 0.0)
    assert len(book.due(1.0)) == 2
    again = new_book(max_groups_per_minute=2)
    again.restore(json.loads(json.dumps(book.snapshot())))
    assert again.due(1.0) == book.due(1.0)
    assert again.due(61.0) == book.due(61.0)
    assert again.pending(61.0) == 3


events = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from(SEVERITIES), st.floats(0.0, 900.0), st.booleans()), max_size=60
)


@given(events)
def test_every_group_is_reported_and_every_reported_one_ends(stream):
    """Whatever comes, fails or restarts: each group is in some delivered notice, and the book empties."""
    book, now_s = new_book(max_groups_per_minute=3, resolve_after_s=500.0), 1.0
    reported: set[str] = set()
    open_: set[str] = set()

    def deliver(works: bool) -> None:
        for notice in book.due(now_s):
            if not works:
                continue
            book.delivered(notice, now_s)
            reported.update(notice.digest or (notice.alert["summary"],))
            if notice.digest:
                continue
            (open_.discard if notice.status == "resolved" else open_.add)(notice.group)
        book.forget_ended(now_s)

    for number, severity, step_s, works in stream:
        now_s += step_s
        book.add(f"g{number}", {**alert(number), "severity": severity}, now_s)
        deliver(works)
        restored = new_book(max_groups_per_minute=3, resolve_after_s=500.0)
        restored.restore(json.loads(json.dumps(book.snapshot())))
        assert restored.due(now_s) == book.due(now_s)
        book = restored
    for _ in range(3):
        deliver(True)
        now_s += 61.0
    text = "\n".join(reported)
    assert all(f"finding {number}" in text for number, *_ in stream)
    for _ in range(2):
        now_s += 1000.0
        deliver(True)
    assert not open_
    assert len(book) == 0


def test_groups_are_told_apart_by_region_and_signature():
    assert group_of({"region": "eu", "group": "g", "id": "1"}) == "eu/g"
    assert group_of({"region": "eu", "id": "1"}) == "eu/1"
