"""What regions report on the topic `driftline.drift`, as reasons for rounds and rollbacks.

`DriftEventDocument` declares them. `drift` about the coordinator's model is a
reason for a round. `regression` says that a version did worse in service than the one before: if it is
still the current one, the model store goes back.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from connectors.base import Sink, Source
from federation.coordinator.ledger import Ledger
from federation.coordinator.records import Rollback, RoundStep, RoundTrigger
from federation.storage.document_feed import DocumentFeed, FeedHandler, Position
from foundation.documents.base import read
from foundation.documents.drift_event import DriftEventDocument
from models.storage.store import ModelStore

log = logging.getLogger(__name__)

FEED = "drift events"


def sentence(event: DriftEventDocument) -> str:
    """Return the event in one sentence, for people."""
    model, strength = event["model"], f"{event['detector']} ({event['statistic']:.4g})"
    return f"{event['type']} in {event['region']}: {strength} on {model['name']} version {model['version']}"


def event_feed(
    source: Source, dead_letters: Sink, ledger: Ledger, store: ModelStore, model: str, *,
    regions: Sequence[str] = (), now_ns: Callable[[], int],
) -> DocumentFeed[DriftEventDocument]:  # fmt: skip
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

    def read_event(document: dict[str, Any], _: int) -> DriftEventDocument:
        event = read(DriftEventDocument, document)
        if regions and event["region"] not in regions:
            raise ValueError(f'"region" is {event["region"]!r}, which is none of {", ".join(regions)}')
        return event

    def take(events: Sequence[DriftEventDocument], position: tuple[str, Position]) -> int:
        mine = [event for event in events if event["model"]["name"] == model]
        triggers = [
            RoundTrigger(e["id"], "drift", e["region"], now_ns(), e["model"]["version"], sentence(e))
            for e in mine
            if e["type"] == "drift"
        ]
        return ledger.record(triggers, _rollbacks(mine, ledger, store, model, now_ns()), position)

    reader = FeedHandler(FEED, read_event, take, lambda name: ledger.fact(f"position {name}"))
    return DocumentFeed(source, dead_letters, reader, region="coordinator", now_ns=now_ns)


def _rollbacks(
    events: Sequence[DriftEventDocument], ledger: Ledger, store: ModelStore, model: str, now_ns: int
) -> tuple[Rollback, ...]:
    """At most one, where the version in question is current and no rollback is on its way already."""
    current = store.current(model)
    for event in events:
        version = event["model"]["version"]
        if event["type"] == "regression" and version == current and not ledger.open_rollbacks():
            if min(store.versions(model), default=current) >= current:
                # Asked for again for ever, it would keep every event behind it from being read.
                log.error("%s; there is no earlier version to go back to", sentence(event))
                continue
            good = store.rollback_target(model)
            return (Rollback(event["id"], model, version, good, sentence(event), RoundStep.PLANNED, now_ns),)
    return ()
