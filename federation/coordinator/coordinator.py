"""The coordinator: reads drift events, lets the controller decide, and runs rounds on the SuperLink."""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from connectors.base import ConnectorError
from federation.coordinator.controller import Controller
from federation.coordinator.drift_events import Event
from federation.coordinator.hooks import RoundObserver
from federation.errors import FederationError, RoundFailedError, SetupError
from federation.protocol.records import Weights
from federation.round import round_files
from federation.round.result import RoundResult
from federation.round.round_files import RoundPlan
from federation.storage.document_feed import DocumentFeed
from models.base import ModelError

log = logging.getLogger(__name__)

LOOK_S = 0.2
"""Between two looks at topic, ledger and run."""

STEPS_AT_ONCE = 10
"""Steps of the controller between two looks at the topic."""

ONLINE_S = 1.0
"""How long the SuperLink's word on who is online is believed."""


class NodeStatus(Protocol):
    """A node as the SuperLink knows it."""

    @property
    def status(self) -> str:
        """`online`, or why not."""
        ...


class RoundLink(Protocol):
    """What a coordinator needs of the SuperLink; see `federation.flower.superlink`."""

    def watch(self) -> bool:
        """One look: starts it again if it has ended."""
        ...

    def nodes(self) -> Sequence[NodeStatus]:
        """The nodes it knows. Raises SetupError where it does not answer."""
        ...

    def run(self, folder: Path, plan: RoundPlan, weights: Weights) -> RoundResult:
        """Runs a round and waits for it. Raises RoundFailedError."""
        ...


class BackgroundRunner:
    """Runs rounds on a SuperLink in a thread; what became of one lies in its folder."""

    def __init__(self, link: RoundLink, *, clock: Callable[[], float]) -> None:
        """`clock` gives monotonic seconds."""
        self._link = link
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._round_id = ""
        self._abandoned = False
        self._asked_s = float("-inf")
        self._online: int | None = None

    def start(self, folder: Path, plan: RoundPlan, weights: Weights) -> None:
        """See `federation.coordinator.controller.Runner`."""
        self._round_id = plan.round_id
        self._thread = threading.Thread(
            target=self._run, args=(folder, plan, weights), name=f"round {plan.round_id}", daemon=True
        )
        self._thread.start()

    def running(self, round_id: str) -> bool:
        """See `federation.coordinator.controller.Runner`."""
        return self.busy and self._round_id == round_id

    @property
    def busy(self) -> bool:
        """Whether a round is under way."""
        return self._thread is not None and self._thread.is_alive()

    def online(self) -> int | None:
        """See `controller.Runner`; asks at most once in `ONLINE_S`, and never while a round runs."""
        if self.busy:
            return None  # of a round that was given up: the next one must not begin beside it
        now_s = self._clock()
        if now_s - self._asked_s >= ONLINE_S:
            self._asked_s = now_s
            try:
                self._online = sum(node.status == "online" for node in self._link.nodes())
            except SetupError as error:
                log.warning("nobody can say which nodes are online: %s", error)
                self._online = None
        return self._online

    def watch(self) -> None:
        """Keeps the SuperLink alive between rounds; during one, whoever runs it does."""
        if not self.busy:
            self._link.watch()

    def abandon(self) -> None:
        """The coordinator ends, and the SuperLink with it: what becomes of the round now is not the round's failure."""
        self._abandoned = True

    def _run(self, folder: Path, plan: RoundPlan, weights: Weights) -> None:
        try:
            self._link.run(folder, plan, weights)
        except RoundFailedError as error:
            self._leave_word(folder, str(error), error.present)
        except FederationError as error:
            self._leave_word(folder, str(error))
        except Exception as error:
            # The edge of a thread: the round has failed, and the coordinator goes on.
            log.exception("round %s broke", plan.round_id)
            self._leave_word(folder, f"the round broke: {type(error).__name__}: {error}")

    def _leave_word(self, folder: Path, sentence: str, present: Sequence[str] | None = None) -> None:
        if self._abandoned:
            return
        try:
            round_files.write_failure(folder, sentence, present)
        except FederationError as error:
            # The controller finds a round that is over and left nothing, and counts it as interrupted.
            log.error("a round failed, and its folder cannot say so: %s; %s", sentence, error)


class Coordinator:
    """Puts the parts together; `run` until told to stop."""

    def __init__(
        self, controller: Controller, events: DocumentFeed[Event], runner: BackgroundRunner, observer: RoundObserver
    ) -> None:
        """Takes parts that are ready."""
        self._controller = controller
        self._events = events
        self._runner = runner
        self._observer = observer

    def look(self) -> None:
        """One look at everything."""
        self._runner.watch()
        try:
            self._events.poll()
            self._observer.events("")
        except (ConnectorError, FederationError, ModelError) as error:
            self._observer.events(str(error))
        for _ in range(STEPS_AT_ONCE):
            if not self._controller.tick():
                break

    def run(self, wait: Callable[[float], bool]) -> None:
        """Looks until `wait`, which pauses for so many seconds, says that a stop was requested.

        A round under way is not waited for; the next coordinator asks for it again.
        """
        try:
            while not wait(LOOK_S):
                self.look()
        finally:
            self._runner.abandon()
            self._events.close()
