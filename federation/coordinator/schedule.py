"""Whether a round is due: a pure function of the situation and the time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from federation.coordinator.records import RoundTrigger

NODES_S = 60.0
"""Time for which a command waits for regions whose nodes are not online yet, such as after a common start."""

RETRY_S = 15.0
"""Pause after a failed round before a command's next attempt."""


class ScheduleSettings(BaseModel):
    """When a round is due."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    debounce_s: Annotated[float, Field(ge=0)] = Field(
        5.0, description="Seconds from the first drift event to the round, so that one round serves several regions."
    )
    cool_down_s: Annotated[float, Field(ge=0)] = Field(
        300.0, description="Seconds after a round in which drift does not start another one; commands do."
    )
    every_s: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Seconds after a round until the next one without drift; 0: never."
    )
    attempts: Annotated[int, Field(ge=1)] = Field(
        3, description="Failed rounds after which a drift event or a command is dropped."
    )
    rollback_regions: Annotated[int, Field(ge=1)] = Field(
        2, description="Regions that have to report a regression of a version before it is rolled back for all. Until "
        "then only a region that reports one goes back.",
    )  # fmt: skip
    rollback_windows: Annotated[int, Field(ge=1)] = Field(
        20, description="Minimum number of windows, or judged alerts, that a report of a regression has to be over."
    )
    rollback_cool_down_s: Annotated[float, Field(ge=0)] = Field(
        3600.0, description="Seconds after a rollback that reports caused in which they cause no other one of the same "
        "region, or of all.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Situation:
    """What the decision is made from.

    Attributes:
        now_ns: Wall clock.
        triggers: Triggers without a round, oldest first.
        version: Current version of the model; None if absent.
        held: Regions that serve an earlier version, with it.
        online: Nodes that could take part; None if unknown.
        needed: Minimum number of nodes for a round.
        expected: Number of regions that should take part; 0 if unknown.
        since_ns: End of the last round, or the coordinator's first start.
        rounds: Number of rounds so far.
    """

    now_ns: int
    triggers: tuple[RoundTrigger, ...]
    version: int | None
    online: int | None
    needed: int
    since_ns: int
    rounds: int
    held: Mapping[str, int] = field(default_factory=dict)
    expected: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """No round now; `stale` triggers are about an older model and are to be dismissed."""

    reason: str
    stale: tuple[RoundTrigger, ...] = ()


@dataclass(frozen=True, slots=True)
class Begin:
    """A round on `version` is due for these triggers."""

    reason: str
    triggers: tuple[RoundTrigger, ...]
    version: int


def decide(settings: ScheduleSettings, situation: Situation) -> Begin | Wait:
    """Decide what to do now.

    1. Drift that was measured on an older version than the region serves is answered already: it is dismissed.
    2. A round needs a reason: drift, a command, or the schedule.
    3. Drift waits for the debounce time and for the end of the cool-down; a command waits only after a failed round.
    4. Enough nodes have to be online. A command first waits `NODES_S` for the nodes of all regions.
    """
    version, now_ns = situation.version, situation.now_ns
    if version is None:
        return Wait("the model store holds no current version of the model")

    def serving(region: str) -> int:
        return situation.held.get(region, version)

    stale = tuple(t for t in situation.triggers if t.kind == "drift" and 0 < t.version < serving(t.region))  # 1
    if stale:
        return Wait("drift events of an older model are dismissed", stale)
    triggers = situation.triggers
    if not triggers and settings.every_s and now_ns >= situation.since_ns + _ns(settings.every_s):
        text = f"{settings.every_s:g} s have passed since the last round"
        trigger_id = f"schedule-{situation.rounds}-{situation.since_ns}"
        triggers = (RoundTrigger(trigger_id, "schedule", "", now_ns, 0, text),)
    if not triggers:  # 2
        return Wait("no reason for a round")
    if all(t.kind == "drift" for t in triggers):  # 3
        due_ns = min(t.time_ns for t in triggers) + _ns(settings.debounce_s)
        if situation.rounds:
            due_ns = max(due_ns, situation.since_ns + _ns(settings.cool_down_s))
        if now_ns < due_ns:
            return Wait(f"drift was reported; a round is due in {(due_ns - now_ns) / 1e9:.0f} s")
    elif any(t.attempts for t in triggers):  # a node that was starting has time to come online
        due_ns = situation.since_ns + _ns(RETRY_S)
        if now_ns < due_ns:
            return Wait(f"a round failed; it is requested again in {(due_ns - now_ns) / 1e9:.0f} s")
    if situation.online is None:  # 4
        return Wait("a round is due, but the SuperLink does not report which nodes are online")
    if situation.online < situation.needed:
        return Wait(f"a round is due; {situation.online} nodes are online, {situation.needed} are needed")
    commands = [t.time_ns for t in triggers if t.kind == "manual"]
    if situation.online < situation.expected and commands and now_ns < max(commands) + _ns(NODES_S):
        return Wait(f"a round is due; {situation.online} of {situation.expected} regions are online, others may start")
    return Begin(_reason(triggers), triggers, version)


def _reason(triggers: tuple[RoundTrigger, ...]) -> str:
    """The newest text of each kind and region, and the number of triggers."""
    newest = {(t.kind, t.region): t.text for t in triggers}
    more = f" ({len(triggers)} in all)" if len(triggers) > len(newest) else ""
    return "; ".join(newest.values()) + more


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
