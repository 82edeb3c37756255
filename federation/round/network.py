"""How a round reaches the nodes; `federation.flower.network.FlowerNetwork` implements it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from flwr.app import RecordDict

from federation.protocol.messages import Question
from federation.protocol.records import MaskedMean, TrainTask, Weights


@dataclass(frozen=True, slots=True)
class Reply:
    """A node's reply to a question.

    Attributes:
        node: Id of the node.
        content: Records of the reply; None if the node's app failed.
        error: Why the app failed; "" if it did not.
    """

    node: int
    content: RecordDict | None = None
    error: str = ""


class Network(Protocol):
    """Carries questions to nodes and their replies back."""

    def now_s(self) -> float:
        """Monotonic seconds, by which deadlines are counted."""
        ...

    def nodes(self) -> Mapping[int, str]:
        """Every online node with the name that its key was registered under, "" without keys."""
        ...

    def ask(self, question: Question, nodes: Sequence[int], wait_s: float) -> Iterator[Reply]:
        """Send a question to these nodes and yield the replies that arrive within `wait_s` seconds."""
        ...

    def masked_mean(
        self, regions: Mapping[str, int], task: TrainTask, weights: Weights, *, threshold: int, wait_s: float
    ) -> MaskedMean:
        """Let regions train and return the mean of their changes, without revealing a single one.

        Args:
            regions: Node of each region that is asked, by name.
            task: What to train.
            weights: Weights to start from.
            threshold: Minimum number of regions in the mean.
            wait_s: Time limit of each stage of the protocol.
        """
        ...
