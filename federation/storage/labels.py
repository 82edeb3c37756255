"""Labels that arrive late: a topic of ground truth, a topic of operators' feedback.

A document says what a session was::

    {"session": "blk_42", "anomalous": true, "time": "2026-01-31T12:00:00Z"}

`session` is the session key; for windows without one, `alert` is the id of the alert instead. `time`
says when this was found out, and where it is missing the message's own time counts; a later word on a
session replaces an earlier one of the same provenance. Further keys are not looked at.

Of a template one may say what class its lines are, from which line classifiers learn::

    {"template": "session opened for user <*> by uid <NUM>", "class": "security_anomaly"}
"""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from connectors.base import Sink, Source
from connectors.registry import SinkSettings, SourceSettings, build_sink, build_source
from federation.storage.document_feed import DocumentFeed, FeedHandler
from federation.storage.line_classes import TemplateClass
from federation.storage.training_store import AnyLabel, Label, TrainingStore
from foundation.documents.base import read
from foundation.documents.label import SessionLabelDocument, TemplateLabelDocument
from foundation.time_text import parse_time


class LabelFeedSettings(BaseModel):
    """One stream of labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provenance: Literal["labels", "feedback"] = Field(
        "labels", description="`labels`: ground truth from elsewhere. `feedback`: operators' word, which wins over it."
    )
    source: SourceSettings = Field(description="Where the documents come from, one a line or message.")
    dead_letters: SinkSettings = Field(description="Where documents go that say nothing usable.")


def label_feed(
    settings: LabelFeedSettings, store: TrainingStore, *, region: str, now_ns: Callable[[], int],
    source: Source | None = None, dead_letters: Sink | None = None,
) -> DocumentFeed[AnyLabel]:  # fmt: skip
    """A feed of labels into the training store.

    Args:
        settings: See the class.
        store: Takes the labels, and remembers how far was read.
        region: Named in dead letters.
        now_ns: Wall clock.
        source: In place of the one that the settings name.
        dead_letters: In place of the ones that the settings name.
    """
    reader = FeedHandler(
        f"{settings.provenance} {_identity(settings.source)}",
        lambda document, produced_ns: read_label(document, settings.provenance, produced_ns),
        store.label,
        store.position,
    )
    return DocumentFeed(
        source or build_source(settings.source), dead_letters or build_sink(settings.dead_letters), reader,
        region=region, now_ns=now_ns,
    )  # fmt: skip


def _identity(source: SourceSettings) -> str:
    """What tells a feed's position from another feed's, also where both name their partitions alike."""
    told = source.model_dump(include={"topic", "paths"})
    return str(told.get("topic") or " ".join(told.get("paths", ())) or source.type)


def read_label(document: dict[str, Any], provenance: Literal["labels", "feedback"], produced_ns: int) -> AnyLabel:
    """The label that a document speaks of.

    Args:
        document: See the module.
        provenance: Of the feed.
        produced_ns: Time of the message, where the document names none.

    Raises:
        ValueError: it is none; the message says why, without repeating the document.
    """
    if "template" in document:
        of_template = read(TemplateLabelDocument, document)
        time_ns = _time_ns(of_template.get("time"), produced_ns)
        return TemplateClass(of_template["template"], of_template["class"], provenance, time_ns)
    of_session = read(SessionLabelDocument, document)
    key = of_session.get("session") or of_session.get("alert")
    if not key:
        raise ValueError('neither "session" nor "alert" is a text')
    return Label(key, of_session["anomalous"], provenance, _time_ns(of_session.get("time"), produced_ns))


def _time_ns(text: str | None, otherwise_ns: int) -> int:
    return otherwise_ns if text is None else parse_time(text)
