"""Labels that arrive late: a topic of ground truth, a topic of operators' feedback.

A document labels a session::

    {"session": "blk_42", "anomalous": true, "time": "2026-01-31T12:00:00Z"}

`session` is the session key; for windows without one, `alert` is the id of the alert instead. `time` is the time of
the label; without it the time of the message counts. A later label replaces an earlier one of the same provenance.
Further keys are ignored.

A document may also give the class of a template's lines, from which line classifiers learn::

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
        "labels", description="`labels`: ground truth. `feedback`: labels by operators, which take precedence."
    )
    source: SourceSettings = Field(description="Source of the documents, one per line or message.")
    dead_letters: SinkSettings = Field(description="Sink for invalid documents.")


def label_feed(
    settings: LabelFeedSettings, store: TrainingStore, *, region: str, now_ns: Callable[[], int],
    source: Source | None = None, dead_letters: Sink | None = None,
) -> DocumentFeed[AnyLabel]:  # fmt: skip
    """Make a feed of labels into the training store.

    Args:
        settings: See the class.
        store: Stores the labels and the position.
        region: Region named in dead letters.
        now_ns: Wall clock.
        source: Used instead of the source in the settings.
        dead_letters: Used instead of the dead letters in the settings.
    """
    handler = FeedHandler(
        f"{settings.provenance} {_identity(settings.source)}",
        lambda document, produced_ns: read_label(document, settings.provenance, produced_ns),
        store.label,
        store.position,
    )
    return DocumentFeed(
        source or build_source(settings.source), dead_letters or build_sink(settings.dead_letters), handler,
        region=region, now_ns=now_ns,
    )  # fmt: skip


def _identity(source: SourceSettings) -> str:
    """Distinguishes the positions of two feeds whose partitions have the same names."""
    values = source.model_dump(include={"topic", "paths"})
    return str(values.get("topic") or " ".join(values.get("paths", ())) or source.type)


def read_label(document: dict[str, Any], provenance: Literal["labels", "feedback"], produced_ns: int) -> AnyLabel:
    """Read the label in a document.

    Args:
        document: See the module.
        provenance: Provenance of the feed.
        produced_ns: Time of the message, for documents without a time.

    Raises:
        ValueError: it is not a label; the message gives the reason without repeating the document.
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


def _time_ns(text: str | None, default_ns: int) -> int:
    return default_ns if text is None else parse_time(text)
