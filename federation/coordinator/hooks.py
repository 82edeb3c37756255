"""Hooks of the coordinator, from which its user makes metrics, health and traces."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from federation.coordinator.records import Round


class RoundObserver:
    """Called by the coordinator; every hook does nothing by default."""

    def begin(self, round_id: str) -> str:
        """A round was planned; return the W3C trace context of its trace, "" for none."""
        return ""

    def step(self, name: str, traceparent: str) -> AbstractContextManager[object]:
        """Return a context manager that surrounds the work of a step."""
        return nullcontext()

    def ended(self, ended: Round, folder: Path) -> None:
        """A round has ended; `folder` holds its files."""

    def missing(self, region: str, count: int) -> None:
        """A region was missing from the last `count` rounds; 0 after one that it attended."""

    def rolled_back(self, model: str, version: int) -> None:
        """The model store's current version is an earlier one again."""

    def events_problem(self, reason: str) -> None:
        """Drift events cannot be read for this reason; "" if they can."""

    def step_problem(self, reason: str) -> None:
        """A step failed for this reason and is repeated; "" if the last one succeeded."""
