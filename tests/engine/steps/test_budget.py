import json
import math
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Record
from engine.steps.budget import DAY_NS, MAX_LISTED, AlertBudget
from foundation.time_text import iso_time, parse_time

HOUR_NS = DAY_NS // 24
START_NS = 1_700_000_000_000_000_000


@dataclass
class A:
    """One alert, described by what a test cares about."""

    hour: float = 0.0
    templates: tuple[str, ...] = ("a",)
    score: float = 1.0
    severity: str = "medium"
    source: str = "x"
    model: str = "m"


def record(number: int, a: A) -> Record:
    time_ns = START_NS + round(a.hour * HOUR_NS)
    document = {
        "id": f"{number:032x}", "source": a.source, "score": a.score, "severity": a.severity, "model": a.model,
        "first_time": iso_time(time_ns - 1000), "last_time": iso_time(time_ns),
        "summary": f"alert {number}",
        "reasons": [{"kind": "new", "template": t} for t in a.templates],
        "templates": [{"id": t.encode().hex().zfill(16), "text": t, "count": 1} for t in a.templates],
    }  # fmt: skip
    return Record(document["id"], "", document)


def sent_of(alerts, per_day=5.0, group_s=300.0, finish=True):
    budget = AlertBudget(per_day, group_s=group_s)
    sent = [[int(r.id, 16) for r in budget.take(record(i, a))] for i, a in enumerate(alerts)]
    return [*sent, [int(r.id, 16) for r in budget.finish()]] if finish else sent


def falling(count, hour=lambda i: i / 60, **fields):
    """Alerts that all show something else, each weaker than the one before: noise."""
    return [A(hour=hour(i), templates=(chr(97 + i % 26) + str(i),), score=1000.0 - i, **fields) for i in range(count)]


def test_what_exceeds_the_budget_is_one_alert_with_the_next_token():
    alerts = [*falling(12), A(hour=5, templates=("z",), score=0.5)]
    assert sent_of(alerts) == [[0], [1], [2], [3], [4], *[[]] * 7, [5], [12]]
    budget = AlertBudget(5, group_s=300)
    *_, last = [budget.take(record(i, a)) for i, a in enumerate(alerts)]
    (digest,) = last
    assert digest.document["digest"] == {"alerts": 7, "since": iso_time(START_NS + 5 * HOUR_NS // 60 - 1000)}
    assert digest.document["summary"].startswith("7 alerts beyond the budget since 2023-11-14T22:18:")
    assert [r["template"] for r in digest.document["reasons"]] == [a.templates[0] for a in alerts[5:12]]
    assert budget.withheld == 8


def test_critical_alerts_are_always_sent():
    alerts = [*falling(8), A(hour=1, templates=("disk",), score=0.1, severity="critical")]
    assert sent_of(alerts)[8] == [8]


def test_the_strongest_of_the_day_is_always_sent_and_an_older_one_does_not_hide_it():
    alerts = [*falling(8), A(hour=1, templates=("z",), score=2000.0), A(hour=25.5, templates=("y",), score=3.0)]
    assert [8] in sent_of(alerts)
    assert sent_of(alerts)[9][-1] == 9


def test_scores_of_different_models_are_not_compared():
    alerts = [*falling(8), A(hour=1, templates=("z",), score=0.2, model="findings")]
    assert sent_of(alerts)[8] == [8]


def test_a_flood_of_one_behaviour_takes_one_token():
    flood = [A(hour=i / 3600, templates=("same",)) for i in range(1000)]
    others = falling(4, hour=lambda i: 1 + i / 60)
    sent = sent_of([*flood, *others])
    assert sum(map(len, sent[:1000])) == 1
    assert sent[1000:] == [[1000], [1001], [1002], [1003], [1]]


def test_repeats_alone_are_reported_after_a_day():
    flood = [A(hour=i / 60, templates=("same",)) for i in range(24 * 60 + 2)]
    sent = [number for some in sent_of(flood, finish=False) for number in some]
    assert sent == [0, 1]


def test_a_behaviour_that_returns_after_the_grouping_time_is_an_alert_again():
    assert sent_of([A(hour=0), A(hour=0.05), A(hour=1)]) == [[0], [], [2], [1]]


def test_every_source_has_a_budget_of_its_own():
    alerts = [*falling(6, source="x"), *falling(6, source="y")]
    assert [len(s) for s in sent_of(alerts)] == [1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 2]


def test_a_digest_that_is_full_does_not_wait():
    alerts = falling(5 + MAX_LISTED, hour=lambda i: i / 3600)
    sent = sent_of(alerts, finish=False)
    assert sum(map(len, sent)) == 6
    assert len(sent[5 + MAX_LISTED // 2]) == 1


def test_a_time_in_the_far_future_does_not_stop_the_budget():
    alerts = [A(hour=1e5, templates=("odd",)), *falling(40, hour=lambda i: i * 6)]
    assert sum(map(len, sent_of(alerts, finish=False))) >= 35


def test_an_infinite_budget_sends_everything_at_once():
    alerts = falling(50)
    assert sent_of(alerts, per_day=math.inf) == [*[[i] for i in range(50)], []]


def test_the_clock_of_the_machine_stands_in_for_a_source_that_falls_silent():
    budget = AlertBudget(5, group_s=300)
    for i, a in enumerate(falling(7)):
        budget.take(record(i, a))
    assert budget.waiting
    assert budget.pass_time(60) == []
    assert [int(r.id, 16) for r in budget.pass_time(5 * 3600)] == [5]
    assert not budget.waiting


# --- laws ----------------------------------------------------------------------------------------

alerts_of = st.lists(
    st.builds(
        A,
        hour=st.sampled_from([0.0, 0.01, 0.02, 1.0, 3.0, 6.0, 30.0, 31.0]),
        templates=st.sampled_from([("a",), ("a", "b"), ("b",), ("c",), ("d", "e"), ("f",)]),
        score=st.sampled_from([1.0, 2.0, 3.0, 4.0]),
        severity=st.sampled_from(["low", "medium", "high", "critical"]),
        source=st.sampled_from("xy"),
        model=st.sampled_from(["m", "findings"]),
    ),
    max_size=40,
)
"""In any order of time: several writers are seldom in order."""


@dataclass
class Sent:
    """What a stream of alerts led to: the documents that were sent when each alert came, and at the end."""

    at: list[list[dict]] = field(default_factory=list)

    @staticmethod
    def of(stream, per_day, restarts=()):
        budget, sent = AlertBudget(per_day, group_s=300), Sent()
        for i, a in enumerate(stream):
            if i in restarts:
                budget = AlertBudget(per_day, group_s=300, snapshot=budget.snapshot())
            sent.at.append([r.document for r in budget.take(record(i, a))])
        sent.at.append([r.document for r in budget.finish()])
        return sent


@given(alerts_of, st.sampled_from([1.0, 2.0, 5.0]), st.sets(st.integers(0, 40)))
def test_restarts_change_nothing(stream, per_day, restarts):
    assert Sent.of(stream, per_day).at == Sent.of(stream, per_day, restarts).at


@given(alerts_of, st.sampled_from([0.5, 2.0, 5.0]))
def test_no_alert_is_lost_and_every_reason_is_sent(stream, per_day):
    """Each alert is sent or counted in one digest; what it shows is in a document sent then or later, or before."""
    documents = [d for some in Sent.of(stream, per_day).at for d in some]
    assert sum(d["digest"]["alerts"] if "digest" in d else 1 for d in documents) == len(stream)
    for source in "xy":
        shown = {r["template"] for d in documents if d["source"] == source for r in d["reasons"]}
        listed = {t["text"] for d in documents if d["source"] == source for t in d["templates"]}
        assert shown == listed == {t for a in stream if a.source == source for t in a.templates}


@given(alerts_of, st.sampled_from([1.0, 2.0, 5.0]))
def test_what_is_new_waits_for_a_token_at_most(stream, per_day):
    """A template that no document has shown is sent with its alert, or with the first alert a token later."""
    stream = sorted(stream, key=lambda a: a.hour)
    patience_h = 24 / per_day
    seen: dict[str, set[str]] = {"x": set(), "y": set()}
    due: dict[tuple[str, str], float] = {}
    for a, documents in zip(stream, Sent.of(stream, per_day).at, strict=False):
        for d in documents:
            seen[d["source"]] |= {r["template"] for r in d["reasons"]}
        due = {key: hour for key, hour in due.items() if key[1] not in seen[key[0]]}
        assert not [key for key, hour in due.items() if key[0] == a.source and a.hour >= hour + patience_h + 1e-6]
        for template in set(a.templates) - seen[a.source]:
            assert a.severity != "critical"
            due.setdefault((a.source, template), a.hour)


@given(alerts_of, st.sampled_from([1.0, 2.0, 5.0]))
def test_the_budget_is_kept(stream, per_day):
    """Beyond a full bucket and what flows in, only critical alerts and the strongest of a day are sent."""
    stream = sorted((a for a in stream if a.source == "x"), key=lambda a: a.hour)
    exempt = free = 0
    best: list[tuple[float, str, float]] = []
    for a, documents in zip(stream, Sent.of(stream, per_day).at, strict=False):
        highest = all(s < a.score for h, m, s in best if m == a.model and a.hour - h <= 24)
        best.append((a.hour, a.model, a.score))
        exempt += highest or a.severity == "critical"
        free += len(documents)
    span_days = (stream[-1].hour - stream[0].hour) / 24 if stream else 0
    assert free <= per_day * span_days + max(1, per_day) + exempt + 1e-6


def test_a_snapshot_is_plain():
    budget = AlertBudget(5, group_s=300)
    for i, a in enumerate(falling(7)):
        budget.take(record(i, a))
    saved = budget.snapshot()
    assert AlertBudget(5, group_s=300, snapshot=saved).snapshot() == saved
    assert parse_time(json.loads(saved)["x"]["waiting"]["since"]) < START_NS + HOUR_NS
