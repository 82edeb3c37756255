"""The event: what one detector found, as it goes to the topic `driftline.drift`.

`DriftEventDocument` declares the document and `docs/drift-event.schema.json` describes it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from connectors.base import Record
from engine.drift.moves import DriftKind
from foundation.content_ids import document_id
from foundation.document_signatures import Sign
from foundation.documents.base import SCHEMA_VERSION, message_headers, template_id_text
from foundation.documents.drift_event import EVENT_TYPE, DriftEventDocument
from foundation.time_text import iso_time


@dataclass(frozen=True, slots=True)
class TemplateShare:
    """A template that carries the change: the share of windows that hold it then and now (0 to 1)."""

    id: int
    text: str
    reference_share: float
    current_share: float


@dataclass(frozen=True, slots=True)
class DriftEvent:
    """Confirmed drift, or a model in service that does worse than the one before.

    Attributes:
        type: `drift`, or `regression` where the model was at fault and was rolled back.
        detector: Which statistic; see `DriftSettings`.
        statistic: Its value.
        threshold: What it reached.
        since_ns: Event time from which it did, ns since the epoch.
        time_ns: Event time of the last window of the statistic; not the wall clock, so a replay gives the same.
        windows: Windows that the statistic is over.
        model: Name of the model in service.
        version: Its version.
        templates: Those that carry the change, the largest change first.
        evidence: Further facts: the results of other detectors.
        kind: What changed: see `engine.drift.moves.DriftKind`; None of a regression.
        over: Whether the stream has returned to the reference: the end of a drift that was reported before.
    """

    type: Literal["drift", "regression"]
    detector: str
    statistic: float
    threshold: float
    since_ns: int
    time_ns: int
    windows: int
    model: str
    version: int
    templates: tuple[TemplateShare, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    kind: DriftKind | None = None
    over: bool = False

    def id(self, region: str, origin: str) -> str:
        """The same for the same event of the same worker, whenever the lines are read.

        Args:
            region: Name of the region.
            origin: Which of its monitors found it.
        """
        parts: tuple[str | int, ...] = (
            region,
            origin,
            self.type,
            self.detector,
            self.model,
            self.version,
            self.since_ns,
            self.time_ns,
        )
        if self.over:
            parts += ("over",)
        return document_id(*parts)


def event_record(
    event: DriftEvent, *, region: str, origin: str, redact: Callable[[str], str], sign: Sign | None = None
) -> Record:
    """The event as a document for a sink, with the CloudEvents attributes as headers.

    Args:
        event: The event.
        region: Name of the region.
        origin: Which of the region's monitors found it.
        redact: Takes out of a template's text what must not leave the region.
        sign: Signs the document; None leaves it unsigned.
    """
    identity, time = event.id(region, origin), iso_time(event.time_ns)
    document: DriftEventDocument = {
        "schema_version": SCHEMA_VERSION,
        "id": identity,
        "type": event.type,
        "kind": event.kind,
        "over": event.over,
        "region": region,
        "detector": event.detector,
        "statistic": event.statistic,
        "threshold": event.threshold,
        "since": iso_time(event.since_ns),
        "time": time,
        "windows": event.windows,
        "model": {"name": event.model, "version": event.version},
        "templates": [
            {
                "id": template_id_text(template.id),
                "text": redact(template.text),
                "reference_share": template.reference_share,
                "current_share": template.current_share,
            }
            for template in event.templates
        ],
        "evidence": {"origin": origin, **event.evidence},
    }
    if sign is not None:
        document["signature"] = sign(document)
    headers = message_headers(type=EVENT_TYPE, source=f"/driftline/{region}", id=identity, time=time)
    return Record(identity, region, document, headers)
