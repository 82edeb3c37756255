"""What regions report on the topic `driftline.drift`, as reasons for rounds and rollbacks.

The documents are described by `docs/drift-event.schema.json`. `drift` about the coordinator's model is a
reason for a round. `regression` says that a version did worse in service than the one before: if it is
still the current one, the model store goes back.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.base import Sink, Source
from federation.coordinator.ledger import Ledger
from federation.coordinator.records import Rollback, RoundStep, RoundTrigger
from federation.storage.document_feed import DocumentFeed, FeedHandler, Position
from models.storage.store import ModelStore

log = logging.getLogger(__name__)

FEED = "drift events"

MOST_CHARACTERS = 256
"""Of an event's id, region and detector: they go into the ledger, the audit log and announcements."""

_VERSIONS = range(1, 1 << 31)


@dataclass(frozen=True, slots=True)
class Event:
    """What matters of a document; `sentence` is for people."""

    id: str
    type: str
    region: str
    model: str
    version: int
    sentence: str


def read_event(document: dict[str, Any], _: int) -> Event:
    """The event that a document speaks of.

    Raises:
        ValueError: it is none; the message says why.
    """
    kind = document.get("type")
    if kind not in ("drift", "regression"):
        raise ValueError('"type" is neither "drift" nor "regression"')
    model = document.get("model")
    name, version = (model.get("name"), model.get("version")) if isinstance(model, dict) else (None, None)
    if not isinstance(name, str) or type(version) is not int or version not in _VERSIONS:
        raise ValueError('"model" names no name and version')
    texts = {key: document.get(key) for key in ("id", "region", "detector")}
    for key, text in texts.items():
        if not isinstance(text, str) or not text or len(text) > MOST_CHARACTERS:
            raise ValueError(f'"{key}" is no text of at most {MOST_CHARACTERS} characters')
    statistic = document.get("statistic")
    strength = f" ({statistic:.4g})" if isinstance(statistic, int | float) else ""
    sentence = f"{kind} in {texts['region']}: {texts['detector']}{strength} on {name} version {version}"
    return Event(str(texts["id"]), kind, str(texts["region"]), name, version, sentence)


def event_feed(
    source: Source, dead_letters: Sink, ledger: Ledger, store: ModelStore, model: str, *,
    regions: Sequence[str] = (), now_ns: Callable[[], int],
) -> DocumentFeed[Event]:  # fmt: skip
    """A feed of events into the ledger.

    Args:
        source: The topic.
        dead_letters: Takes what is no event.
        ledger: Keeps triggers, rollbacks and how far was read.
        store: Says which version is current, and which one was before.
        model: Events about another one are passed over.
        regions: Whose events count; one in another's name is a dead letter. Any where empty.
        now_ns: Wall clock.
    """

    def read(document: dict[str, Any], number: int) -> Event:
        event = read_event(document, number)
        if regions and event.region not in regions:
            raise ValueError(f'"region" is {event.region!r}, which is none of {", ".join(regions)}')
        return event

    def take(events: Sequence[Event], position: tuple[str, Position]) -> int:
        mine = [event for event in events if event.model == model]
        triggers = [
            RoundTrigger(e.id, "drift", e.region, now_ns(), e.version, e.sentence) for e in mine if e.type == "drift"
        ]
        return ledger.record(triggers, _rollbacks(mine, ledger, store, model, now_ns()), position)

    reader = FeedHandler(FEED, read, take, lambda name: ledger.fact(f"position {name}"))
    return DocumentFeed(source, dead_letters, reader, region="coordinator", now_ns=now_ns)


def _rollbacks(
    events: Sequence[Event], ledger: Ledger, store: ModelStore, model: str, now_ns: int
) -> tuple[Rollback, ...]:
    """At most one, where the version in question is current and no rollback is on its way already."""
    current = store.current(model)
    for event in events:
        if event.type == "regression" and event.version == current and not ledger.open_rollbacks():
            if min(store.versions(model), default=current) >= current:
                # Asked for again for ever, it would keep every event behind it from being read.
                log.error("%s; there is no earlier version to go back to", event.sentence)
                continue
            good = store.rollback_target(model)
            return (Rollback(event.id, model, event.version, good, event.sentence, RoundStep.PLANNED, now_ns),)
    return ()
