"""Secure aggregation at the coordinator: it learns the mean of the regions' changes and no single one.

Flower's SecAgg+ workflow runs the protocol (Bell et al. 2020, https://eprint.iacr.org/2020/704) in four
exchanges: keys, shares of keys, masked changes, unmasking. Regions send changes instead of weights, so that
the clipping range is small and the quantization fine: with 2 ** 30 levels the mean differs from the plain one
by less than 1e-5 (tested). Visible remain the participants, their numbers of windows and their metrics.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.common import FitIns, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key
from flwr.server.workflow.secure_aggregation.secaggplus_workflow import WorkflowState
from flwr.serverapp import Grid
from numpy.typing import NDArray

from federation.flower.exchange import PollClock, exchange
from federation.flower.secagg_client import MAX_EXAMPLES
from federation.flower.secagg_masks import use_chacha
from federation.protocol.arrays import pack_arrays
from federation.protocol.records import MaskedMean, TrainTask, Weights

LEVELS = 1 << 30
"""Quantization levels between -clip and clip; the workflow keeps them in 32 bits."""

MODULUS = 1 << 40
"""Modulus of the masked sums: large enough for over a thousand regions."""


def masked_mean(
    grid: Grid, clock: PollClock, regions: Mapping[str, int], task: TrainTask, weights: Weights, *,
    threshold: int, wait_s: float,
) -> MaskedMean:  # fmt: skip
    """Train in every region and return the mean of the changes; see `federation.round.network.Network`."""
    use_chacha()
    names = {node: region for region, node in regions.items()}
    mean = _MeanStrategy(names, task, weights)
    workflow = _Workflow(
        1.0, threshold, max_weight=float(MAX_EXAMPLES), clipping_range=task.privacy.clip,
        quantization_range=LEVELS, modulus_range=MODULUS, timeout=wait_s,
    )  # fmt: skip
    recorder = _RecordingGrid(grid, clock)
    workflow(recorder, LegacyContext(_context(task.number), strategy=cast(Any, mean), client_manager=cast(Any, mean)))
    failed = {names[node]: reason for node, reason in recorder.failed.items()}
    return MaskedMean(mean.change, mean.counted, failed, tuple(sorted(names[node] for node in recorder.silent)))


class _Workflow(SecAggPlusWorkflow):
    """Flower's workflow, without a request for secrets that no node has.

    It asks for the secrets of a region that was lost before it shared its keys, which makes all others fail.
    """

    def share_keys_stage(self, grid: Grid, context: LegacyContext, state: WorkflowState) -> bool:
        enough = super().share_keys_stage(grid, context, state)
        # A region that did not share its keys is in no mask, so the unmasking does not need it.
        sharing = set(state.active_node_ids)
        state.sampled_node_ids = sharing
        state.nid_to_neighbours = {node: near & sharing for node, near in state.nid_to_neighbours.items()}
        return enough


class _MeanStrategy:
    """Takes the place of the strategy and of the client manager in the workflow, and keeps the mean."""

    def __init__(self, names: Mapping[int, str], task: TrainTask, weights: Weights) -> None:
        self._names = names
        self._task = task
        self._weights = weights
        self.change: NDArray[np.float64] | None = None
        self.counted: dict[str, tuple[int, dict[str, float]]] = {}

    def num_available(self) -> int:
        return len(self._names)

    def configure_fit(self, server_round: int, parameters: Any, client_manager: Any) -> list[tuple[Any, Any]]:
        # One array, for the reason given in `federation.protocol.arrays.to_record`.
        weights = ndarrays_to_parameters([np.frombuffer(pack_arrays(self._weights), np.uint8)])
        instructions = FitIns(weights, cast(Any, {"task": self._task.model_dump_json()}))
        return [(_ClientProxy(node), instructions) for node in self._names]

    def aggregate_fit(self, server_round: int, results: list[Any], failures: Any) -> tuple[None, dict[str, Any]]:
        for proxy, result in results:
            numbers = {name: value for name, value in result.metrics.items() if isinstance(value, int | float)}
            metrics = {name: float(value) for name, value in numbers.items() if np.isfinite(value)}
            self.counted[self._names[proxy.node_id]] = result.num_examples, metrics
        if results:
            (self.change,) = parameters_to_ndarrays(results[0][1].parameters)
        return None, {}


class _ClientProxy:
    """Takes the place of a client proxy, of which the workflow reads the id only."""

    def __init__(self, node_id: int) -> None:
        self.node_id = node_id


class _RecordingGrid(Grid):
    """A grid that records failed and silent nodes, which the workflow does not report."""

    def __init__(self, grid: Grid, clock: PollClock) -> None:
        self._grid = grid
        self._clock = clock
        self.failed: dict[int, str] = {}
        self.silent: set[int] = set()

    def set_run(self, run: Any) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return self._grid.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send the messages of one stage and return the replies of the first `timeout` seconds (always set)."""
        sent, wait_s = list(messages), timeout or 0.0
        for message in sent:
            message.metadata.ttl = wait_s
        replies = []
        pending = {message.metadata.dst_node_id for message in sent}
        for node, reply in exchange(self._grid, self._clock, sent, wait_s):
            pending.discard(node)
            if reply.has_error():
                self.failed[node] = reply.error.reason or "its app failed"
            else:
                replies.append(reply)
        self.silent |= pending
        return replies


def _context(number: int) -> Context:
    """The part of a run's context that the workflow reads; the weights travel separately."""
    records = {MAIN_CONFIGS_RECORD: ConfigRecord({Key.CURRENT_ROUND: number}), MAIN_PARAMS_RECORD: ArrayRecord()}
    return Context(run_id=0, node_id=0, node_config={}, state=RecordDict(cast(Any, records)), run_config={})
