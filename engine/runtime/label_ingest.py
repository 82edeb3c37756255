"""Read late labels and feedback into the training store while a region's node runs."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from connectors.base import ConnectorError
from engine.settings import RegionSettings
from federation.errors import FederationError
from federation.storage.document_feed import DocumentFeed
from federation.storage.labels import label_feed
from federation.storage.training_store import AnyLabel, TrainingStore

log = logging.getLogger(__name__)

IDLE_S = 0.5
"""Pause where no labels came."""

RETRY_S = 5.0
"""Pause where a feed or the store cannot be used."""


@contextmanager
def label_feeds(settings: RegionSettings, stop: threading.Event) -> Iterator[None]:
    """Reads every feed of the region in a thread of its own, until `stop` is set or the context ends."""
    training = settings.training
    if training is None or not settings.labels:
        yield
        return

    def read() -> None:
        while not stop.is_set():
            try:
                with TrainingStore(training.path, training, now_ns=time.time_ns) as store:
                    feeds = (label_feed(f, store, region=settings.region, now_ns=time.time_ns) for f in settings.labels)
                    follow(list(feeds), stop)
            except FederationError as error:
                log.warning("labels cannot be kept: %s", error)
                stop.wait(RETRY_S)
            except Exception:
                # The edge of a thread: after any error, the region continues to read labels.
                log.exception("labels cannot be kept")
                stop.wait(RETRY_S)

    ended = threading.Thread(target=read, name="labels", daemon=True)
    ended.start()
    try:
        yield
    finally:
        stop.set()
        ended.join(timeout=10.0)


def follow(feeds: list[DocumentFeed[AnyLabel]], stop: threading.Event) -> None:
    """Polls the feeds until `stop` is set; a feed that fails is reported once and retried."""
    said = ""
    while not stop.is_set():
        news, wrong = 0, ""
        for feed in feeds:
            try:
                news += feed.poll()
            except (ConnectorError, FederationError) as error:
                wrong = str(error)
        if wrong and wrong != said:
            log.warning("labels cannot be read: %s", wrong)
        elif said and not wrong:
            log.info("labels are read again")
        said = wrong
        stop.wait(0.0 if news else RETRY_S if wrong else IDLE_S)
    for feed in feeds:
        feed.close()
