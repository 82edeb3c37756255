"""Secure aggregation, the coordinator's side: it learns the mean of the regions' changes, and no single one.

Flower's SecAgg+ workflow does the protocol (Bell et al. 2020, https://eprint.iacr.org/2020/704) in four
exchanges a pass: keys, shares of keys, masked changes, unmasking. Regions send their changes, not their
weights, so that the clipping range is small and the quantization fine: 2 ** 30 levels, with which the
mean differs from the plain one by less than 1e-5 (tested). What stays visible: who takes part, how many windows
each trained on, and its figures. What is lost: the guard cannot look at single updates, so a strategy that
compares them cannot be used, and a region that lies is only found by the gate.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key
from flwr.server.workflow.secure_aggregation.secaggplus_workflow import WorkflowState
from flwr.serverapp import Grid
from numpy.typing import NDArray

from federation.errors import RoundFailedError, SetupError
from federation.protocol.messages import packed
from federation.protocol.records import TrainTask, Update, Weights
from federation.protocol.secagg_client import MAX_EXAMPLES, MIN_REGIONS, averaged
from federation.protocol.secagg_masks import use_chacha
from federation.round.fleet import Clock, Fleet
from federation.round.result import Refusal
from federation.round.settings import RoundSettings

LEVELS = 1 << 30
"""Steps between -clip and clip; the workflow keeps them in 32 bits."""

MODULUS = 1 << 40
"""Of the masked sums: over a thousand regions fit."""

STRATEGIES = ("fedavg", "fedprox")
_POLL_S = 0.1


def secure_pass(
    grid: Grid, fleet: Fleet, clock: Clock, settings: RoundSettings, task: TrainTask, weights: Weights
) -> tuple[Weights, tuple[Update, ...]]:
    """One pass: the weights after it, and for each region that is in the mean its count and figures.

    The updates that are given hold the common weights, since nobody knows a region's own.

    Args:
        grid: Reaches the regions.
        fleet: Those that are there; who fails or is silent is noted in it.
        clock: For the stages' deadlines.
        settings: Of the round.
        task: Of this pass.
        weights: To start from.

    Raises:
        RoundFailedError: fewer regions than the protocol needs came through it; the old weights stay.
        SetupError: the strategy needs single updates.
    """
    if settings.strategy not in STRATEGIES:
        raise SetupError(f"{settings.strategy} compares single updates, which secagg hides; use one of {STRATEGIES}")
    use_chacha()
    regions = dict(fleet.regions)
    if len(regions) < MIN_REGIONS:
        sentence = f"secure aggregation needs {MIN_REGIONS} regions, and only {sorted(regions)} are there"
        raise RoundFailedError(sentence, regions)
    strategy = _Mean(regions, weights, task)
    workflow = _Workflow(
        1.0, max(settings.min_regions, MIN_REGIONS, len(regions) // 2 + 1), max_weight=float(MAX_EXAMPLES),
        clipping_range=settings.privacy.clip, quantization_range=LEVELS, modulus_range=MODULUS,
        timeout=settings.reply_s,
    )  # fmt: skip
    heard = _HearingGrid(grid, clock)
    workflow(
        heard, LegacyContext(_context(task.number), strategy=cast(Any, strategy), client_manager=cast(Any, strategy))
    )
    _note(fleet, regions, heard, task.number)
    if strategy.mean is None:
        wrong = [f"{r.region}: {r.reason}" for r in fleet.refusals] + [f"{m}: no answer in time" for m in fleet.missing]
        sentence = f"secure aggregation halted in pass {task.number}: {'; '.join(wrong) or 'no reason given'}"
        raise RoundFailedError(sentence, fleet.regions)
    moved, start = dict(weights), 0
    for name in averaged(weights):
        old = weights[name]
        change = strategy.mean[start : start + old.size].reshape(old.shape)
        moved[name] = (old.astype(np.float64) + change).astype(old.dtype)
        start += old.size
    return moved, tuple(Update(r, moved, n, figures) for r, n, figures in sorted(strategy.counted))


class _Workflow(SecAggPlusWorkflow):
    """Flower's, which asks for secrets that nobody has of a region that was lost before it shared its keys."""

    def share_keys_stage(self, grid: Grid, context: LegacyContext, state: WorkflowState) -> bool:
        enough = super().share_keys_stage(grid, context, state)
        # Such a region is in no mask, so it has no part in the unmasking either.
        sharing = set(state.active_node_ids)
        state.sampled_node_ids = sharing
        state.nid_to_neighbours = {node: near & sharing for node, near in state.nid_to_neighbours.items()}
        return enough


class _Mean:
    """Stands where the workflow expects a strategy and the manager of its clients."""

    def __init__(self, regions: Mapping[str, int], weights: Weights, task: TrainTask) -> None:
        self._names = {node: region for region, node in regions.items()}
        self._weights = weights
        self._task = task
        self.mean: NDArray[np.float64] | None = None
        self.counted: list[tuple[str, int, dict[str, float]]] = []

    def num_available(self) -> int:
        return len(self._names)

    def configure_fit(self, server_round: int, parameters: Any, client_manager: Any) -> list[tuple[Any, Any]]:
        from flwr.common import FitIns, ndarrays_to_parameters

        # As one array, for the reason of `federation.protocol.messages.to_record`.
        weights = ndarrays_to_parameters([np.frombuffer(packed(self._weights), np.uint8)])
        ins = FitIns(weights, cast(Any, {"task": self._task.model_dump_json()}))
        return [(_Node(node), ins) for node in self._names]

    def aggregate_fit(self, server_round: int, results: list[Any], failures: Any) -> tuple[None, dict[str, Any]]:
        from flwr.common import parameters_to_ndarrays

        for node, result in results:
            numbers = {name: value for name, value in result.metrics.items() if isinstance(value, int | float)}
            figures = {name: float(value) for name, value in numbers.items() if np.isfinite(value)}
            self.counted.append((self._names[node.node_id], result.num_examples, figures))
        if results:
            (self.mean,) = parameters_to_ndarrays(results[0][1].parameters)
        return None, {}


class _Node:
    """Stands where the workflow expects a client's proxy; only the id of it is asked for."""

    def __init__(self, node_id: int) -> None:
        self.node_id = node_id


class _HearingGrid(Grid):
    """A grid that keeps who failed and who was silent, which the workflow does not tell."""

    def __init__(self, grid: Grid, clock: Clock) -> None:
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
        """Sends one stage's messages; the replies that came within `timeout`, which the workflow always gives."""
        sent, left_s = list(messages), timeout or 0.0
        for message in sent:
            message.metadata.ttl = left_s
        until_s = self._clock.now() + left_s
        waiting = dict(zip(self._grid.push_messages(sent), [m.metadata.dst_node_id for m in sent], strict=True))
        replies = []
        while waiting:
            for reply in self._grid.pull_messages([i for i in waiting if i]):
                node = waiting.pop(reply.metadata.reply_to_message_id)
                if reply.has_error():
                    self.failed[node] = reply.error.reason or "its app failed"
                else:
                    replies.append(reply)
            if not waiting or self._clock.now() >= until_s:
                break
            self._clock.sleep(_POLL_S)
        self.silent |= set(waiting.values())
        return replies


def _note(fleet: Fleet, regions: Mapping[str, int], heard: _HearingGrid, number: int) -> None:
    """Takes those that failed or were silent out of the round, by name."""
    for region, node in sorted(regions.items()):
        if node in heard.failed:
            fleet.refuse([Refusal(region, number, heard.failed[node])])
        elif node in heard.silent:
            fleet.missing.append(region)
            fleet.regions.pop(region, None)


def _context(number: int) -> Context:
    """What the workflow reads of a run; the model goes to the regions another way."""
    records = {MAIN_CONFIGS_RECORD: ConfigRecord({Key.CURRENT_ROUND: number}), MAIN_PARAMS_RECORD: ArrayRecord()}
    return Context(run_id=0, node_id=0, node_config={}, state=RecordDict(cast(Any, records)), run_config={})
