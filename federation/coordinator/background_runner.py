"""Runs rounds on a SuperLink in a thread."""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from federation.errors import FederationError, RoundFailedError, SetupError
from federation.protocol.records import Weights
from federation.round import round_files
from federation.round.result import RoundResult
from federation.round.round_files import RoundPlan

log = logging.getLogger(__name__)

ONLINE_S = 1.0
"""Time for which the SuperLink's list of nodes is reused."""


class NodeStatus(Protocol):
    """A node in the SuperLink's list."""

    @property
    def status(self) -> str:
        """`online`, or another state."""
        ...


class RoundServer(Protocol):
    """What runs rounds; see `federation.flower.superlink.SuperLink`."""

    def watch(self) -> bool:
        """Check its processes once, and restart one that has ended."""
        ...

    def nodes(self) -> Sequence[NodeStatus]:
        """The registered nodes.

        Raises:
            SetupError: it does not answer.
        """
        ...

    def run(self, folder: Path, plan: RoundPlan, weights: Weights) -> RoundResult:
        """Run a round and wait for its result.

        Raises:
            FederationError: there is no result.
        """
        ...


class BackgroundRunner:
    """Runs one round at a time; its result is left in the folder of the round."""

    def __init__(self, server: RoundServer, *, clock: Callable[[], float]) -> None:
        """Start nothing yet.

        Args:
            server: Runs the rounds.
            clock: Monotonic seconds.
        """
        self._server = server
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._round_id = ""
        self._abandoned = False
        self._asked_s = float("-inf")
        self._online: int | None = None

    def start(self, folder: Path, plan: RoundPlan, weights: Weights) -> None:
        """See `federation.coordinator.controller.RoundRunner`."""
        self._round_id = plan.round_id
        self._thread = threading.Thread(
            target=self._run, args=(folder, plan, weights), name=f"round {plan.round_id}", daemon=True
        )
        self._thread.start()

    def running(self, round_id: str) -> bool:
        """See `federation.coordinator.controller.RoundRunner`."""
        return self.busy and self._round_id == round_id

    @property
    def busy(self) -> bool:
        """Whether a round is running."""
        return self._thread is not None and self._thread.is_alive()

    def online(self) -> int | None:
        """See `RoundRunner`; the SuperLink is asked at most once in `ONLINE_S`, and never while a round runs."""
        if self.busy:
            return None  # the round was given up, and the next one must not start while it runs
        now_s = self._clock()
        if now_s - self._asked_s >= ONLINE_S:
            self._asked_s = now_s
            try:
                self._online = sum(node.status == "online" for node in self._server.nodes())
            except SetupError as error:
                log.warning("the number of online nodes is unknown: %s", error)
                self._online = None
        return self._online

    def watch(self) -> None:
        """Keep the SuperLink alive between rounds; `run` does it during one."""
        if not self.busy:
            self._server.watch()

    def abandon(self) -> None:
        """The coordinator ends, and the SuperLink with it: the round is interrupted, and has not failed."""
        self._abandoned = True

    def _run(self, folder: Path, plan: RoundPlan, weights: Weights) -> None:
        try:
            self._server.run(folder, plan, weights)
        except RoundFailedError as error:
            self._write_failure(folder, str(error), error.present)
        except FederationError as error:
            self._write_failure(folder, str(error))
        except Exception as error:
            # The edge of a thread: the round has failed, and the coordinator continues.
            log.exception("round %s failed", plan.round_id)
            self._write_failure(folder, f"the round failed with {type(error).__name__}: {error}")

    def _write_failure(self, folder: Path, reason: str, present: Sequence[str] | None = None) -> None:
        if self._abandoned:
            return
        try:
            round_files.write_failure(folder, reason, present)
        except FederationError as error:
            # The controller finds a round that has ended without a result, and counts it as interrupted.
            log.error("the failure of a round could not be recorded: %s; %s", reason, error)
