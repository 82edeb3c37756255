"""Budget: how many alerts a day a source may raise; what exceeds it is sent together, and nothing is lost.

The budget is a token bucket in event time: it holds the alerts of one day and fills evenly. An alert takes a
token and is sent at once. Without a token it waits, and the next token sends everything that waits as one alert,
the digest: the most severe of the waiting alerts, with the reasons and templates of all. Three rules keep the
budget from hiding what matters:

1. A critical alert is always sent.
2. So is one with a higher score than every alert of the same model in the 24 hours before. Of n exchangeable
   scores the last is the highest with probability 1/n (Rényi, 1962), so noise gains about one alert a day.
3. An alert whose reasons were all sent within the grouping time waits, however often it comes, unless it is the
   strongest of the day and a token is left: a flood of one behaviour is one alert and a count, and the tokens stay
   for others.
"""

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from connectors.base import Record
from foundation.documents.alert import AlertDocument, Reason, Severity, TemplateCount
from foundation.time_text import parse_time

_SEVERITIES: tuple[str, ...] = get_args(Severity)
DAY_NS = 86_400_000_000_000
MAX_LISTED = 200
"""Reasons and templates of one digest; a fuller one is sent without waiting for a token."""
MAX_SHOWN = 10_000
"""Reasons of one source that are remembered as sent; the oldest are forgotten first."""
MAX_SOURCES = 10_000
"""Sources whose alerts are counted; of those without a waiting alert, the longest silent is forgotten first."""


@dataclass(slots=True)
class _Waiting:
    """Alerts of one source that wait for a token.

    Attributes:
        record: The most severe; of equally severe ones the one with the highest score.
        alerts: How many wait.
        since: Earliest event time of the first, as text.
        since_ns: Latest event time of the first.
        news: Whether any has a reason that was not sent yet.
        reasons: Reasons of all, by kind and template, in the order of their arrival.
        templates: Templates of all with the sum of their counts, by id.
    """

    record: Record
    alerts: int
    since: str
    since_ns: int
    news: bool
    reasons: dict[str, Reason] = field(default_factory=dict)
    templates: dict[str, TemplateCount] = field(default_factory=dict)

    def add(self, record: Record, alert: AlertDocument) -> None:
        """Count one more alert."""
        if _gravity(alert) > _gravity(_alert(self.record)):
            self.record = record
        for reason in alert.get("reasons", ()):
            self.reasons.setdefault(_key(reason), reason)
        for template in alert["templates"]:
            known = self.templates.get(template["id"])
            count = template["count"] + (known["count"] if known else 0)
            self.templates[template["id"]] = {**template, "count": count}

    @property
    def full(self) -> bool:
        """Whether no more may be listed."""
        return len(self.reasons) + len(self.templates) > MAX_LISTED

    def digest(self) -> Record:
        """One record for all; a single alert is sent as it is."""
        record, alert = self.record, _alert(self.record)
        if self.alerts == 1:
            return record
        own = [_key(reason) for reason in alert.get("reasons", ())]
        reasons = {key: self.reasons[key] for key in dict.fromkeys((*own, *self.reasons))}
        document: AlertDocument = {
            **alert,
            "summary": f"{self.alerts:,} alerts beyond the budget since {self.since[:19]}Z; "
            f"the most severe: {alert.get('summary', '')}",
            "reasons": list(reasons.values()),
            "templates": list(self.templates.values()),
            "digest": {"alerts": self.alerts, "since": self.since},
        }
        return Record(record.id, record.key, document, record.headers)


class _Account:
    """The budget of one source."""

    def __init__(self, per_day: float, group_ns: int, now_ns: int, state: Mapping[str, Any] | None = None) -> None:
        self._per_ns = per_day / DAY_NS
        self._capacity = max(1.0, per_day)
        self._group_ns = group_ns
        saved = state or {"tokens": self._capacity, "clock_ns": now_ns, "shown": {}, "peaks": {}, "waiting": None}
        self._tokens: float = saved["tokens"]
        self._clock_ns: int = saved["clock_ns"]
        self._shown: OrderedDict[str, int] = OrderedDict(saved["shown"])
        self._peaks: dict[str, list[tuple[int, float]]] = {
            model: [(time_ns, score) for time_ns, score in peaks] for model, peaks in saved["peaks"].items()
        }
        waiting = saved["waiting"]
        self.waiting = None if waiting is None else _Waiting(**{**waiting, "record": Record(**waiting["record"])})

    def take(self, record: Record) -> list[Record]:
        """What is to be sent now, in order: the alerts that waited, the alert, both or nothing."""
        alert = _alert(record)
        now_ns = parse_time(alert["last_time"])
        out = self.advance(now_ns)
        highest = self._is_highest(alert, now_ns)
        repeated = self._is_repeated(alert, now_ns)
        if self._may_pass(alert, highest=highest, repeated=repeated):
            self._spend()
            self._show(map(_key, alert.get("reasons", ())), now_ns)
            return [*out, record]
        if self.waiting is None:
            self.waiting = _Waiting(record, 0, alert["first_time"], now_ns, news=False)
        self.waiting.alerts += 1
        self.waiting.news |= not repeated
        self.waiting.add(record, alert)
        return [*out, *self._send()] if self.waiting.full else out

    def _may_pass(self, alert: AlertDocument, *, highest: bool, repeated: bool) -> bool:
        if repeated:
            return highest and self._tokens >= 1
        return self._tokens >= 1 or highest or alert.get("severity") == "critical"

    def advance(self, now_ns: int) -> list[Record]:
        """Let event time pass; returns the digest that is due by then."""
        if now_ns > self._clock_ns:
            self._tokens = min(self._capacity, self._tokens + (now_ns - self._clock_ns) * self._per_ns)
            self._clock_ns = now_ns
        elif self._clock_ns - now_ns > DAY_NS:
            # A line of the far future must not stop the budget until then.
            self._clock_ns = now_ns
            if self.waiting is not None:
                self.waiting.since_ns = min(self.waiting.since_ns, now_ns)
        waiting = self.waiting
        if waiting is None or self._tokens < 1 or not (waiting.news or self._clock_ns - waiting.since_ns >= DAY_NS):
            return []
        return self._send()

    @property
    def clock_ns(self) -> int:
        """Latest event time."""
        return self._clock_ns

    def finish(self) -> list[Record]:
        """What waits; the stream has ended."""
        return [] if self.waiting is None else self._send()

    def _send(self) -> list[Record]:
        waiting, self.waiting = self.waiting, None
        assert waiting is not None
        self._spend()
        self._show(waiting.reasons, self._clock_ns)
        return [waiting.digest()]

    def _spend(self) -> None:
        self._tokens = max(0.0, self._tokens - 1)

    def _show(self, keys: Iterable[str], now_ns: int) -> None:
        for key in keys:
            self._shown[key] = max(now_ns, self._shown.pop(key, now_ns))
        while len(self._shown) > MAX_SHOWN:
            self._shown.popitem(last=False)

    def _is_repeated(self, alert: AlertDocument, now_ns: int) -> bool:
        """Whether all its reasons were sent within the grouping time, which starts again."""
        keys = [_key(reason) for reason in alert.get("reasons", ())]
        times = [self._shown.get(key) for key in keys]
        if not keys or any(time_ns is None or now_ns - time_ns > self._group_ns for time_ns in times):
            return False
        self._show(keys, now_ns)
        return True

    def _is_highest(self, alert: AlertDocument, now_ns: int) -> bool:
        """Rule 2; only scores that may still become the highest are remembered."""
        score, peaks = alert["score"], self._peaks.setdefault(alert["model"], [])
        peaks[:] = [(time_ns, peak) for time_ns, peak in peaks if abs(now_ns - time_ns) <= DAY_NS]
        highest = not peaks or score > peaks[0][1]
        while peaks and peaks[-1][1] <= score:
            peaks.pop()
        peaks.append((now_ns, score))
        return highest

    def state(self) -> dict[str, Any]:
        """Plain data from which the same account continues."""
        return {
            "tokens": self._tokens, "clock_ns": self._clock_ns, "shown": self._shown, "peaks": self._peaks,
            "waiting": None if self.waiting is None else asdict(self.waiting),
        }  # fmt: skip


class AlertBudget:
    """The budgets of the sources of one stream of alerts.

    What is sent depends on the order of the alerts and on their event times alone, not on batches.

    Attributes:
        withheld: Alerts that waited, since this object was made.
    """

    def __init__(self, per_day: float, *, group_s: float, snapshot: bytes | None = None) -> None:
        """Start with full budgets, or from the result of `snapshot`.

        Args:
            per_day: Alerts a day and source; infinite for no limit.
            group_s: Seconds within which an alert with the same reasons is a repeat.
            snapshot: State to continue from.
        """
        self._per_day = per_day
        self._group_ns = round(group_s * 1e9)
        self.withheld = 0
        saved = json.loads(snapshot) if snapshot is not None else {}
        self._accounts = OrderedDict((source, self._account(0, state)) for source, state in saved.items())

    def _account(self, now_ns: int, state: Mapping[str, Any] | None = None) -> _Account:
        return _Account(self._per_day, self._group_ns, now_ns, state)

    def take(self, record: Record) -> list[Record]:
        """What is to be sent now that this alert is there, in order."""
        if self._per_day == float("inf"):
            return [record]
        alert = _alert(record)
        source = alert["source"]
        account = self._accounts.pop(source, None) or self._account(parse_time(alert["last_time"]))
        self._accounts[source] = account
        if len(self._accounts) > MAX_SOURCES:
            oldest = next((s for s, a in self._accounts.items() if a.waiting is None), source)
            if oldest != source:
                del self._accounts[oldest]
        sent = account.take(record)
        self.withheld += not sent or sent[-1] is not record
        return sent

    @property
    def waiting(self) -> bool:
        """Whether any alert waits for a token."""
        return any(account.waiting is not None for account in self._accounts.values())

    def pass_time(self, elapsed_s: float) -> list[Record]:
        """The digests that become due because no alert came for this many seconds."""
        elapsed_ns = round(elapsed_s * 1e9)
        waiting = [account for account in self._accounts.values() if account.waiting is not None]
        return [record for account in waiting for record in account.advance(account.clock_ns + elapsed_ns)]

    def finish(self) -> list[Record]:
        """Everything that waits; the stream has ended."""
        return [record for account in self._accounts.values() for record in account.finish()]

    def snapshot(self) -> bytes:
        """The state as JSON bytes."""
        return json.dumps({source: account.state() for source, account in self._accounts.items()}).encode()


def _alert(record: Record) -> AlertDocument:
    return record.document  # type: ignore[return-value]


def _key(reason: Reason) -> str:
    return f"{reason['kind']} {reason['template']}"


def _gravity(alert: AlertDocument) -> tuple[int, float]:
    return _SEVERITIES.index(alert.get("severity", "info")), alert["score"]
