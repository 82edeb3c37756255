"""The coordinator's loop: reads drift events, ticks the controller, and keeps the SuperLink alive."""

from collections.abc import Callable

from connectors.base import ConnectorError
from federation.coordinator.background_runner import BackgroundRunner
from federation.coordinator.controller import Controller
from federation.coordinator.hooks import RoundObserver
from federation.errors import FederationError
from federation.storage.document_feed import DocumentFeed
from foundation.documents.drift_event import DriftEventDocument
from models.base import ModelError

POLL_S = 0.2
"""Pause between two polls of topic, ledger and run."""

STEPS_AT_ONCE = 10
"""Steps of the controller between two polls of the topic."""


class Coordinator:
    """The assembled parts; call `run`."""

    def __init__(
        self,
        controller: Controller,
        events: DocumentFeed[DriftEventDocument],
        runner: BackgroundRunner,
        observer: RoundObserver,
    ) -> None:
        """Take parts that are ready."""
        self._controller = controller
        self._events = events
        self._runner = runner
        self._observer = observer

    def poll(self) -> None:
        """Poll everything once."""
        self._runner.watch()
        try:
            self._events.poll()
            self._observer.events_problem("")
        except (ConnectorError, FederationError, ModelError) as error:
            self._observer.events_problem(str(error))
        for _ in range(STEPS_AT_ONCE):
            if not self._controller.tick():
                break

    def run(self, wait: Callable[[float], bool]) -> None:
        """Poll until a stop is requested; a running round is not waited for, and the next coordinator repeats it.

        Args:
            wait: Pauses for a number of seconds and returns whether a stop was requested.
        """
        try:
            while not wait(POLL_S):
                self.poll()
        finally:
            self._runner.abandon()
            self._events.close()
