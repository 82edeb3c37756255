"""No protection: the coordinator sees every update."""

from collections.abc import Mapping

from federation.privacy.base import PrivacyMode
from federation.protocol.records import TrainTask
from federation.storage.learning import LearningStore


class NoPrivacy(PrivacyMode):
    """Plain updates, with the loss and the number of anomalous windows of each region."""

    name = "none"
    covers_statistics = True

    def accepts(self, asked: str) -> bool:
        """Any mode protects at least as much."""
        return True

    def report(self, task: TrainTask, store: LearningStore, figures: Mapping[str, float]) -> dict[str, float]:
        """All figures."""
        return dict(figures)
