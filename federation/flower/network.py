"""The network of a round over a Flower grid; see `federation.round.network.Network`."""

from collections.abc import Iterator, Mapping, Sequence

from flwr.app import Message
from flwr.serverapp import Grid

from federation.errors import TrainerError
from federation.flower.exchange import MonotonicClock, PollClock, exchange
from federation.flower.record_codec import packed, unpacked
from federation.flower.secagg_server import masked_mean
from federation.protocol.messages import Question
from federation.protocol.records import MaskedMean, TrainTask, Weights
from federation.round.network import Reply


class FlowerNetwork:
    """Reaches the nodes that are connected to a grid."""

    def __init__(self, grid: Grid, clock: PollClock | None = None) -> None:
        """Wrap a grid.

        Args:
            grid: Grid of a run, or a `LocalGrid`.
            clock: Clock for deadlines; that of the machine if None.
        """
        self._grid = grid
        self._clock = clock or MonotonicClock()

    def now_s(self) -> float:
        """See `Network`."""
        return self._clock.now()

    def nodes(self) -> Mapping[int, str]:
        """See `Network`; the grid of a SuperLink without keys has no names."""
        names = {info.node_id: info.name for info in getattr(self._grid, "get_nodes", tuple)()}
        return {node: names.get(node, "") for node in self._grid.get_node_ids()}

    def ask(self, question: Question, nodes: Sequence[int], wait_s: float) -> Iterator[Reply]:
        """See `Network`."""
        # A message that is not fetched in time expires with the question, so no node works on it later.
        content = packed(question.content)
        messages = [Message(content, node, question.kind, ttl=wait_s) for node in nodes]
        for node, reply in exchange(self._grid, self._clock, messages, wait_s):
            yield _read(node, reply)

    def masked_mean(
        self, regions: Mapping[str, int], task: TrainTask, weights: Weights, *, threshold: int, wait_s: float
    ) -> MaskedMean:
        """See `Network`."""
        return masked_mean(self._grid, self._clock, regions, task, weights, threshold=threshold, wait_s=wait_s)


def _read(node: int, reply: Message) -> Reply:
    if reply.has_error():
        return Reply(node, error=reply.error.reason or "")
    try:
        return Reply(node, unpacked(reply.content))
    except TrainerError as error:
        return Reply(node, error=str(error))
