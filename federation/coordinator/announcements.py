"""Announcements on the compacted topic `driftline.models`: which version of a model is the one to follow.

The key is the model's name, so the topic holds the last word on every model for as long as it lives.
The document is described by `docs/announcement.schema.json`. Engines follow the model store itself; the
topic is for whoever else wants to know, and for keeping the audit log's last hash out of reach.
"""

from dataclasses import asdict, dataclass
from typing import Literal

from connectors.base import Record, Sink
from foundation.content_ids import document_id

EVENT_TYPE = "io.driftline.model.v1"
"""CloudEvents type of an announcement."""

FLUSH_S = 5.0
"""How long the topic may take to acknowledge before the step is tried again."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """One word on a model.

    Attributes:
        name, version: The version that `current` names from now on.
        card_sha256: Of its card, which in turn names the sha256 of the weights.
        event: Why it is that one.
        round_id: Of the round that made it; "" after a rollback by hand.
        time: When, RFC 3339.
        reason: One sentence.
        audit_sha256: Hash of the audit log's entry on this.
    """

    name: str
    version: int
    card_sha256: str
    event: Literal["published", "rolled_back"]
    round_id: str
    time: str
    reason: str
    audit_sha256: str

    def record(self, traceparent: str) -> Record:
        """As it goes to the sink; the same announcement always has the same id."""
        identity = document_id(self.name, self.version, self.event, self.audit_sha256)
        headers = {
            "ce_specversion": "1.0",
            "ce_type": EVENT_TYPE,
            "ce_source": "/driftline/coordinator",
            "ce_id": identity,
            "ce_time": self.time,
            "ce_subject": self.name,
            "content-type": "application/json",
        }
        document = {"id": identity, **asdict(self), "traceparent": traceparent}
        return Record(
            identity, self.name, document, {**headers, "traceparent": traceparent} if traceparent else headers
        )


class Announcer:
    """Puts announcements on a sink and waits for the acknowledgement."""

    def __init__(self, sink: Sink) -> None:
        """Takes a sink that is not open yet."""
        self._sink = sink
        self._open = False

    def announce(self, announcement: Announcement, traceparent: str = "") -> None:
        """Delivers it; after an error call again with the same one.

        Raises:
            SinkUnavailable: it was not acknowledged in time.
        """
        try:
            if not self._open:
                self._sink.open(None)
                self._open = True
            self._sink.write([announcement.record(traceparent)])
            self._sink.flush(FLUSH_S)
        except BaseException:
            # What is still buffered would go out beside the repetition; the sink starts over.
            self.close()
            raise

    def close(self) -> None:
        """Frees the sink; the next announcement opens it again."""
        self._sink.close()
        self._open = False
