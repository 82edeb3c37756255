"""Which notices are due: groups that open, go on, grow more severe and end, and storms of new groups.

Pure state: no clock, no network. What is due stays due until `delivered` is called for it, so that a
failed delivery is repeated and nothing is lost; `snapshot` is plain data, so that a crash loses nothing
either.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from connectors.channels.alert_text import severity_of, title_of
from connectors.channels.base import Notice
from foundation.documents.alert import SEVERITIES

DIGEST = "digest"
"""Prefix of the group identity of a digest."""

MINUTE_S = 60.0


@dataclass(slots=True)
class _Group:
    """One open group.

    `notified_s` is when its latest notice was delivered, `notified` the rank of the severity that it
    reported, -1 before the first. `digest` names the digest that reported the group, "" if it was
    sent separately.
    """

    alert: dict[str, Any]
    count: int
    first_s: float
    last_s: float
    notified_s: float = 0.0
    notified: int = -1
    notified_count: int = 0
    reference: str = ""
    digest: str = ""

    @property
    def was_notified(self) -> bool:
        return self.notified >= 0


@dataclass(slots=True)
class _Minute:
    """The current minute of new groups, and those of it that a digest will report."""

    start_s: float = 0.0
    opened: int = 0
    waiting: list[str] = field(default_factory=list)


class GroupBook:
    """Open groups by identity, in the order in which they opened."""

    def __init__(
        self, *, update_s: float, resolve_after_s: float, max_groups_per_minute: int, repeat_s: float | None = None
    ) -> None:
        """An empty book; see `ChannelSettings` for the first three.

        Args:
            update_s: Seconds between two notices about a group that continues.
            resolve_after_s: Seconds without an alert after which a group is resolved.
            max_groups_per_minute: New groups that are reported one by one in a minute.
            repeat_s: Seconds after which a firing group is reported again without news; None: never.
        """
        self._update_s = update_s
        self._resolve_after_s = resolve_after_s
        self._max_groups = max_groups_per_minute
        self._repeat_s = repeat_s
        self._groups: dict[str, _Group] = {}
        self._minute = _Minute()
        self._digests: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, group: str, alert: Mapping[str, Any], now_s: float) -> None:
        """Take an alert of a group; opens the group where it is not open."""
        known = self._groups.get(group)
        if known is None:
            known = self._groups[group] = _Group(dict(alert), 0, now_s, now_s)
            self._count_opening(group, known, now_s)
        elif severity_of(alert) >= severity_of(known.alert):
            known.alert = dict(alert)
        known.count += 1
        known.last_s = max(known.last_s, now_s)

    def due(self, now_s: float) -> list[Notice]:
        """Every notice to send now, oldest group first; calling it changes nothing but closed digests."""
        self._close_minute(now_s)
        notices = [self._digest(name) for name in self._digests]
        for name, group in self._groups.items():
            if group.digest or name in self._minute.waiting:
                continue
            if group.was_notified and self._is_over(group, now_s):
                notices.append(self._notice(name, group, resolved=True))
            elif self._has_news(group, now_s):
                notices.append(self._notice(name, group))
        return notices

    def pending(self, now_s: float) -> int:
        """Groups whose opening or severity was not delivered yet."""
        waiting = len(self._minute.waiting) + len(self._digests)
        return waiting + sum(not g.digest and not g.was_notified and n not in self._minute.waiting
                             for n, g in self._groups.items())  # fmt: skip

    def delivered(self, notice: Notice, now_s: float, reference: str = "") -> None:
        """Record that the service has accepted a notice."""
        if notice.digest:
            self._digests.pop(notice.group, None)
            return
        group = self._groups.get(notice.group)
        if group is None:
            return
        if notice.status == "resolved":
            del self._groups[notice.group]
            return
        group.notified_s = now_s
        group.notified = severity_of(notice.alert)
        group.notified_count = notice.count
        group.reference = group.reference or reference

    def forget_ended(self, now_s: float) -> None:
        """Drop groups of delivered digests that are over: the service never received them one by one."""
        for name, group in list(self._groups.items()):
            if group.digest and group.digest not in self._digests and self._is_over(group, now_s):
                del self._groups[name]

    def snapshot(self) -> dict[str, Any]:
        """The state as plain data."""
        return {
            "groups": {name: asdict(group) for name, group in self._groups.items()},
            "minute": asdict(self._minute),
            "digests": {name: list(names) for name, names in self._digests.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a snapshot."""
        self._groups = {name: _Group(**group) for name, group in state.get("groups", {}).items()}
        self._minute = _Minute(**state["minute"]) if "minute" in state else _Minute()
        self._digests = {name: list(names) for name, names in state.get("digests", {}).items()}

    def _count_opening(self, name: str, group: _Group, now_s: float) -> None:
        self._close_minute(now_s)
        if not self._minute.opened:
            self._minute.start_s = now_s
        self._minute.opened += 1
        if self._minute.opened > self._max_groups:
            self._minute.waiting.append(name)

    def _close_minute(self, now_s: float) -> None:
        minute = self._minute
        if not minute.opened or now_s - minute.start_s < MINUTE_S:
            return
        if minute.waiting:
            name = f"{DIGEST}-{int(minute.start_s)}"
            self._digests[name] = minute.waiting
            for group in minute.waiting:
                self._groups[group].digest = name
        self._minute = _Minute()

    def _is_over(self, group: _Group, now_s: float) -> bool:
        return now_s - group.last_s >= self._resolve_after_s

    def _has_news(self, group: _Group, now_s: float) -> bool:
        if not group.was_notified or severity_of(group.alert) > group.notified:
            return True
        since_s = now_s - group.notified_s
        if group.count > group.notified_count and since_s >= self._update_s:
            return True
        return self._repeat_s is not None and since_s >= self._repeat_s

    def _notice(self, name: str, group: _Group, *, resolved: bool = False) -> Notice:
        return Notice(
            name, "resolved" if resolved else "firing", group.alert, group.count, group.first_s, group.last_s,
            group.reference,
        )  # fmt: skip

    def _digest(self, name: str) -> Notice:
        groups = [self._groups[g] for g in self._digests[name] if g in self._groups]
        groups.sort(key=lambda group: (-severity_of(group.alert), group.first_s))
        lines = tuple(f"{SEVERITIES[severity_of(g.alert)]}: {title_of(g.alert)} ({g.count})" for g in groups)
        return Notice(
            name, "firing", groups[0].alert, sum(g.count for g in groups), min(g.first_s for g in groups),
            max(g.last_s for g in groups), digest=lines,
        )  # fmt: skip


def group_of(alert: Mapping[str, Any]) -> str:
    """The identity of an alert's group: region and signature, or the alert's own id where it has none."""
    signature = alert.get("group") or alert.get("id")
    return f"{alert.get('region', '')}/{signature}"
