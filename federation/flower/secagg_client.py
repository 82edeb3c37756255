"""Secure aggregation in a region: trains as usual and sends its change masked.

Flower's SecAgg+ runs the protocol. This module adds the checks that it lacks. A change beyond the clipping
range, or one that is not finite, is refused with a reason; Flower clips it silently or turns it into finite
garbage. A request of the coordinator that would unmask a single region is refused as well.
"""

from collections.abc import Callable
from typing import cast

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client.mod.secure_aggregation import secaggplus_mod
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.common import recorddict_compat
from numpy.typing import NDArray

from federation.errors import TrainerError
from federation.flower.secagg_masks import use_chacha
from federation.protocol import messages
from federation.protocol.arrays import unpack_arrays
from federation.protocol.records import MIN_MASKED_REGIONS, TrainTask, Update, Weights, floating

RECORD = "secaggplus_configs"
"""Flower's name for the record of the protocol; only messages with this record belong to it."""

MAX_EXAMPLES = 1 << 17
"""Largest weight in the sum; a region that trained on more windows counts as this many. The mean loses
precision as weights get smaller relative to this bound."""

AskTrainer = Callable[[RecordDict], RecordDict]
"""Passes a question of the kind `train` to the trainer and returns its reply."""


def is_secure(message: Message) -> bool:
    """Whether the message belongs to the protocol."""
    return RECORD in message.content


def answer(message: Message, context: Context, ask: AskTrainer) -> Message:
    """The reply to one message of the protocol.

    Args:
        message: Message of the protocol.
        context: Context of the region's node; keeps the keys from one stage to the next.
        ask: See `AskTrainer`.

    Raises:
        TrainerError: the coordinator asks for too much, or the change cannot be sent.
        FederationError: the trainer reports a failure instead of an update.
    """
    use_chacha()
    _require_harmless(cast(ConfigRecord, message.content[RECORD]))
    return secaggplus_mod(message, context, lambda asked, _: _train(asked, ask))


def _require_harmless(request: ConfigRecord) -> None:
    """Refuse requests that open a single region's mask; the coordinator names the threshold and lost regions."""
    stage = request.get("stage")
    if stage == "setup":
        sample, shares, threshold = (cast(int, request.get(k)) for k in ("sample_num", "share_num", "threshold"))
        if sample < MIN_MASKED_REGIONS or shares < sample or 2 * threshold <= shares:
            raise TrainerError(
                f"secure aggregation of {sample} regions with {shares} shares and threshold {threshold} protects "
                f"no region: at least {MIN_MASKED_REGIONS} regions, a share for each and a threshold of more than half "
                "are needed"
            )
    if stage == "collect_masked_vectors":
        _require_company(set(cast(list[int], request.get("srcs") or [])), MIN_MASKED_REGIONS - 1, "masked with")
    if stage == "unmask":
        active, dead = (set(cast(list[int], request.get(k) or [])) for k in ("active_nids", "dead_nids"))
        if both := sorted(active & dead):
            raise TrainerError(f"the coordinator requests both secrets of node {both[0]}, which would unmask it")
        _require_company(active, MIN_MASKED_REGIONS, "summed over")


def _require_company(nodes: set[int], minimum: int, what: str) -> None:
    """Require enough other regions; the protocol itself continues with its threshold when regions are lost."""
    if len(nodes) < minimum:
        raise TrainerError(f"{len(nodes)} nodes are left for the change to be {what}; {minimum} are needed to hide it")


def _train(message: Message, ask: AskTrainer) -> Message:
    """Train and return the region's change in the form that the protocol masks: Flower's reply to a fit."""
    asked = recorddict_compat.recorddict_to_fitins(message.content, keep_input=True)
    task = TrainTask.model_validate_json(str(asked.config["task"]))
    weights = unpack_arrays(parameters_to_ndarrays(asked.parameters)[0].tobytes(), "parameters")
    reply = ask(messages.train(weights, task).content)
    messages.raise_failure(reply)
    update = messages.read_update(messages.region_of(reply), reply)
    result = FitRes(
        Status(Code.OK, ""), ndarrays_to_parameters([changes(update, weights, task.privacy.clip)]),
        min(update.examples, MAX_EXAMPLES), dict(update.metrics),
    )  # fmt: skip
    return Message(recorddict_compat.fitres_to_recorddict(result, keep_input=False), reply_to=message)


def changes(update: Update, weights: Weights, clip: float) -> NDArray[np.float64]:
    """The change of a training: float64 (n,), all arrays flattened and joined in the order of `floating`.

    One flat array, because Flower's protocol returns a wrong sum for arrays without a dimension.

    Raises:
        TrainerError: shapes differ, a value is not finite or beyond `clip`, or no window was trained on.
    """
    if update.examples < 1:
        raise TrainerError(f"an update over {update.examples} windows has no weight")
    found = []
    for name in floating(weights):
        new, old = update.weights.get(name), weights[name]
        if new is None or new.shape != old.shape:
            raise TrainerError(f"the training did not return the array {name} in the shape that was sent")
        change = new.astype(np.float64) - old.astype(np.float64)
        if not np.isfinite(change).all():
            raise TrainerError(f"the training made values of {name} that are not finite")
        largest = float(np.abs(change).max(initial=0.0))
        if largest > clip:
            raise TrainerError(
                f"the training changed a value of {name} by {largest:.3g}, beyond privacy.clip = {clip:g}; nothing "
                f"was sent, because the sum would be wrong: increase clip or train for fewer epochs"
            )
        found.append(change.ravel())
    return np.concatenate(found)
