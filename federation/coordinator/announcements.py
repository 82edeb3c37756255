"""Announcements on the compacted topic `driftline.models`: the version of a model to follow.

The key is the model's name, so the topic keeps the last announcement of every model. The document is described by
`docs/announcement.schema.json`. Engines follow the model store itself; the topic serves other consumers, and
stores the audit log's last hash on another machine.
"""

from collections.abc import Mapping
from typing import Literal

from connectors.base import Record, Sink
from foundation.content_ids import document_id
from foundation.documents.announcement import EVENT_TYPE, AnnouncementDocument
from foundation.documents.base import SCHEMA_VERSION, message_headers

FLUSH_S = 5.0
"""Time limit for the topic's acknowledgement, after which the step is repeated."""


def announcement(
    name: str, version: int, event: Literal["published", "rolled_back"], *, card_sha256: str, round_id: str = "",
    time: str, reason: str, audit_sha256: str, held: Mapping[str, int] | None = None, traceparent: str = "",
) -> AnnouncementDocument:  # fmt: skip
    """Return an announcement; see `AnnouncementDocument`. The same one always has the same id."""
    return {
        "schema_version": SCHEMA_VERSION,
        "id": document_id(name, version, event, audit_sha256),
        "name": name,
        "version": version,
        "card_sha256": card_sha256,
        "event": event,
        "round_id": round_id,
        "time": time,
        "reason": reason,
        "audit_sha256": audit_sha256,
        "held": dict(held or {}),
        "traceparent": traceparent,
    }


def announcement_record(document: AnnouncementDocument) -> Record:
    """Return an announcement as a record for a sink, keyed by the model."""
    headers = message_headers(
        type=EVENT_TYPE, source="/driftline/coordinator", id=document["id"], time=document["time"],
        subject=document["name"], traceparent=document["traceparent"],
    )  # fmt: skip
    return Record(document["id"], document["name"], document, headers)


class Announcer:
    """Writes announcements to a sink and waits for the acknowledgement."""

    def __init__(self, sink: Sink) -> None:
        """Take a sink that is not open yet."""
        self._sink = sink
        self._open = False

    def announce(self, announcement: AnnouncementDocument) -> None:
        """Deliver an announcement; after an error call again with the same one.

        Raises:
            ConnectorError: it was not acknowledged in time.
        """
        try:
            if not self._open:
                self._sink.open(None)
                self._open = True
            self._sink.write([announcement_record(announcement)])
            self._sink.flush(FLUSH_S)
        except BaseException:
            # Buffered announcements would be delivered in addition to the repeated one: the sink starts again.
            self.close()
            raise

    def close(self) -> None:
        """Close the sink; the next announcement opens it again."""
        self._sink.close()
        self._open = False
