"""What a coordinator tells the outside; who makes metrics and traces of it is not known here."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from federation.coordinator.ledger import Round


class RoundObserver:
    """What the outside is told; does nothing by itself."""

    def begin(self, round_id: str) -> str:
        """A round is planned; gives the W3C trace context that it goes under."""
        return ""

    def step(self, name: str, traceparent: str) -> AbstractContextManager[object]:
        """Around a step's work."""
        return nullcontext()

    def ended(self, ended: Round, folder: Path) -> None:
        """A round is over."""

    def missing(self, region: str, count: int) -> None:
        """A region was missing from so many rounds in a row."""

    def rolled_back(self, model: str, version: int) -> None:
        """The model store points back."""

    def events(self, sentence: str) -> None:
        """Why drift events cannot be read now; "" while they can."""

    def trouble(self, sentence: str) -> None:
        """A step could not be done; it is tried again. "" once all is well."""
