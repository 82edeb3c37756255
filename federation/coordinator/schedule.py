"""Whether a round is due: a pure function of what is known and what time it is."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from federation.coordinator.ledger import RoundTrigger


class ScheduleSettings(BaseModel):
    """When a round is due."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    debounce_s: Annotated[float, Field(ge=0)] = Field(
        5.0, description="Seconds from the first drift event to the round, so that one round answers several regions."
    )
    cool_down_s: Annotated[float, Field(ge=0)] = Field(
        300.0, description="Seconds after a round in which drift starts none; a command does."
    )
    every_s: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Seconds after a round at which the next one is due without drift; 0: never."
    )
    attempts: Annotated[int, Field(ge=1)] = Field(
        3, description="Rounds that may fail before a drift event is given up."
    )


@dataclass(frozen=True, slots=True)
class Situation:
    """What the decision is made from.

    Attributes:
        now_ns: Wall clock.
        triggers: Those that no round has taken up, oldest first.
        version: The current one of the model; None where there is none.
        online: Nodes that could take part; None where nobody can say.
        needed: Nodes without which a round has no sense.
        since_ns: End of the last round, or the coordinator's first start.
        rounds: How many rounds have ended.
    """

    now_ns: int
    triggers: tuple[RoundTrigger, ...]
    version: int | None
    online: int | None
    needed: int
    since_ns: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Wait:
    """No round now; `stale` speak of a model that is not in service any more and are to be dismissed."""

    reason: str
    stale: tuple[RoundTrigger, ...] = ()


@dataclass(frozen=True, slots=True)
class Begin:
    """A round is due, for these reasons."""

    reason: str
    triggers: tuple[RoundTrigger, ...]


def decide(settings: ScheduleSettings, situation: Situation) -> Begin | Wait:
    """What to do now.

    1. Drift that was measured against an older version has had its round: it is dismissed.
    2. Without a reason there is no round: drift, a command, or the schedule.
    3. Drift is gathered for the debounce time, and waits for the end of the cool-down; commands do not.
    4. Enough nodes have to be online.
    """
    version, now_ns = situation.version, situation.now_ns
    if version is None:
        return Wait("the model store holds no current version of the model")
    stale = tuple(t for t in situation.triggers if t.kind == "drift" and 0 < t.version < version)  # 1
    if stale:
        return Wait("drift events of an older model are dismissed", stale)
    triggers = situation.triggers
    if not triggers and settings.every_s and now_ns >= situation.since_ns + _ns(settings.every_s):
        text = f"{settings.every_s:g} s have passed since the last round"
        triggers = (RoundTrigger(f"schedule-{situation.rounds}-{situation.since_ns}", "schedule", "", now_ns, 0, text),)
    if not triggers:  # 2
        return Wait("no reason for a round")
    if all(t.kind == "drift" for t in triggers):  # 3
        due_ns = min(t.time_ns for t in triggers) + _ns(settings.debounce_s)
        if situation.rounds:
            due_ns = max(due_ns, situation.since_ns + _ns(settings.cool_down_s))
        if now_ns < due_ns:
            return Wait(f"drift is known; a round is due in {(due_ns - now_ns) / 1e9:.0f} s")
    if situation.online is None:  # 4
        return Wait("a round is due, but the SuperLink does not say which nodes are online")
    if situation.online < situation.needed:
        return Wait(f"a round is due; {situation.online} nodes are online, {situation.needed} are needed")
    return Begin(_reason(triggers), triggers)


def _reason(triggers: tuple[RoundTrigger, ...]) -> str:
    """The newest word of each region, and how many there were."""
    newest = {(t.kind, t.region): t.text for t in triggers}
    more = f" ({len(triggers)} in all)" if len(triggers) > len(newest) else ""
    return "; ".join(newest.values()) + more


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
