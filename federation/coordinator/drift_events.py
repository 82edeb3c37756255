"""Drift events on the topic `driftline.drift`, as reasons for rounds and rollbacks.

`DriftEventDocument` declares them. A `drift` event about the coordinator's model is a reason for a round. A
`regression` event reports that a version did worse in service than the one before; `federation.coordinator.regressions`
decides what follows.
"""

from collections.abc import Callable, Sequence
from typing import Any

from connectors.base import Sink, Source
from federation.coordinator.ledger import Ledger
from federation.coordinator.records import RoundTrigger
from federation.coordinator.regressions import report_of, rollbacks_for
from federation.coordinator.schedule import ScheduleSettings
from federation.storage.document_feed import DocumentFeed, FeedHandler, Position
from foundation.document_signatures import Verifier
from foundation.documents.base import read
from foundation.documents.drift_event import DriftEventDocument
from models.storage.store import ModelStore

FEED = "drift events"


def sentence(event: DriftEventDocument) -> str:
    """Return the event in one sentence, for people."""
    model, strength = event["model"], f"{event['detector']} ({event['statistic']:.4g})"
    return f"{event['type']} in {event['region']}: {strength} on {model['name']} version {model['version']}"


def event_feed(
    source: Source, dead_letters: Sink, ledger: Ledger, store: ModelStore, model: str, *,
    settings: ScheduleSettings, regions: Sequence[str] = (), now_ns: Callable[[], int],
    verifier: Verifier | None = None,
) -> DocumentFeed[DriftEventDocument]:  # fmt: skip
    """Make a feed of events into the ledger.

    Args:
        source: The topic.
        dead_letters: Sink for documents that are not events.
        ledger: Stores triggers, rollbacks and the position.
        store: Store of the model.
        model: Name of the model; events about others are ignored.
        settings: When reports of a regression cause a rollback.
        regions: Regions whose events are accepted; an event of another region is a dead letter. Empty: all.
        now_ns: Wall clock.
        verifier: Checks signatures; None accepts events without looking at them.
    """

    def read_event(document: dict[str, Any], _: int) -> DriftEventDocument:
        event = read(DriftEventDocument, document)
        if verifier is not None:
            verifier.check(document, event["region"])
        if regions and event["region"] not in regions:
            raise ValueError(f'"region" is {event["region"]!r}, which is not one of {", ".join(regions)}')
        if event["model"]["name"] == model and event["model"]["version"] not in store.versions(model):
            raise ValueError(
                f'"model" names version {event["model"]["version"]} of {model}, which is not in the model store'
            )
        return event

    def store_events(events: Sequence[DriftEventDocument], position: tuple[str, Position]) -> int:
        own = [event for event in events if event["model"]["name"] == model]
        triggers = [
            RoundTrigger(e["id"], "drift", e["region"], now_ns(), e["model"]["version"], sentence(e))
            for e in own
            if e["type"] == "drift" and not e.get("over")
        ]
        fleet = {region: store.current(model, region) or 0 for region in regions}
        reports = [report_of(e, store, sentence(e)) for e in own if e["type"] == "regression"]
        rollbacks = rollbacks_for(reports, ledger.rollbacks(), fleet, settings, now_ns())
        return ledger.record(triggers, rollbacks, position)

    handler = FeedHandler(FEED, read_event, store_events, lambda name: ledger.fact(f"position {name}"))
    return DocumentFeed(source, dead_letters, handler, region="coordinator", now_ns=now_ns)
