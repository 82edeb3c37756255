"""Secure aggregation, a region's side: trains as always, and sends its change masked.

Flower's SecAgg+ does the protocol. Around it stands what it does not check itself: a change beyond the
clipping range, or one that is not a number, is refused in words instead of being clipped or turned into
garbage without one; and so is a coordinator that asks for what would unmask a single region.
"""

from collections.abc import Callable
from typing import cast

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from numpy.typing import NDArray

from federation.errors import TrainerError
from federation.protocol import messages
from federation.protocol.records import TrainTask, Update, Weights
from federation.protocol.secagg_masks import use_chacha

RECORD = "secaggplus_configs"
"""Flower's name for the record that carries the protocol; a message without it is no part of it."""

MAX_EXAMPLES = 1 << 17
"""The largest weight in the sum; a region that trained on more windows counts as that many. The mean is the
less exact the smaller the weights are against this bound."""

MIN_REGIONS = 3
"""Of two, each could take its own change off the sum."""

Ask = Callable[[RecordDict], RecordDict]
"""Hands a question of the kind `train` to the trainer and gives its reply."""


def is_secure(message: Message) -> bool:
    """Whether the message is a part of the protocol."""
    return RECORD in message.content


def answer(message: Message, context: Context, ask: Ask) -> Message:
    """The reply to one message of the protocol.

    Args:
        message: Of it.
        context: Of the region's node; keeps the keys from one stage to the next.
        ask: See `Ask`.

    Raises:
        TrainerError: the coordinator asks for too much, or the change cannot be sent; says why.
        FederationError: what the trainer answers in place of an update.
    """
    from flwr.client.mod.secure_aggregation import secaggplus_mod

    use_chacha()
    _require_harmless(cast(ConfigRecord, message.content[RECORD]))
    return secaggplus_mod(message, context, lambda asked, _: _train(asked, ask))


def _require_harmless(asked: ConfigRecord) -> None:
    """The coordinator names the threshold and who has dropped out; neither may open a single region's mask."""
    stage = asked.get("stage")
    if stage == "setup":
        sample, shares, threshold = (cast(int, asked.get(k)) for k in ("sample_num", "share_num", "threshold"))
        if sample < MIN_REGIONS or shares < sample or 2 * threshold <= shares:
            raise TrainerError(
                f"secure aggregation of {sample} regions with {shares} shares and threshold {threshold} protects "
                f"nobody: at least {MIN_REGIONS} regions, a share for each and a threshold of more than half are needed"
            )
    if stage == "collect_masked_vectors":
        _require_company(set(cast(list[int], asked.get("srcs") or [])), MIN_REGIONS - 1, "be masked with")
    if stage == "unmask":
        active, dead = (set(cast(list[int], asked.get(k) or [])) for k in ("active_nids", "dead_nids"))
        if both := sorted(active & dead):
            raise TrainerError(f"the coordinator asks for both secrets of node {both[0]}, which would unmask it")
        _require_company(active, MIN_REGIONS, "be summed over")


def _require_company(nodes: set[int], least: int, what: str) -> None:
    """Regions may be lost on the way, and the protocol goes on with its threshold: of two, each knows the other's."""
    if len(nodes) < least:
        raise TrainerError(f"{len(nodes)} nodes are left for the change to {what}, and {least} are needed to hide it")


def _train(message: Message, ask: Ask) -> Message:
    """What the protocol masks: the region's change, as Flower's own answer to a training."""
    from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
    from flwr.compat.common import recorddict_compat as compat

    asked = compat.recorddict_to_fitins(message.content, keep_input=True)
    task = TrainTask.model_validate_json(str(asked.config["task"]))
    weights = messages.unpacked(parameters_to_ndarrays(asked.parameters)[0].tobytes(), "parameters")
    reply = ask(messages.train(weights, task).content)
    messages.raise_failure(reply)
    update = messages.read_update(messages.region_of(reply), reply)
    result = FitRes(
        Status(Code.OK, ""), ndarrays_to_parameters([changes(update, weights, task.privacy.clip)]),
        min(update.examples, MAX_EXAMPLES),
        dict(update.metrics),
    )  # fmt: skip
    return Message(compat.fitres_to_recorddict(result, keep_input=False), reply_to=message)


def averaged(weights: Weights) -> list[str]:
    """Names of the arrays that are averaged, in the protocol's order; whole numbers are not."""
    return sorted(name for name, array in weights.items() if array.dtype.kind == "f")


def changes(update: Update, weights: Weights, clip: float) -> NDArray[np.float64]:
    """What the training changed: float64 (n,), all values one after the other, arrays in the order of `averaged`.

    One flat array, because Flower's protocol gives a wrong sum for arrays without a dimension.

    Raises:
        TrainerError: shapes differ, a value is not finite or beyond `clip`, or there is no window.
    """
    if update.examples < 1:
        raise TrainerError(f"an update over {update.examples} windows has no weight")
    found = []
    for name in averaged(weights):
        new, old = update.weights.get(name), weights[name]
        if new is None or new.shape != old.shape:
            raise TrainerError(f"the training did not give back the array {name} as it was sent")
        change = new.astype(np.float64) - old.astype(np.float64)
        if not np.isfinite(change).all():
            raise TrainerError(f"the training made values of {name} that are not finite")
        largest = float(np.abs(change).max(initial=0.0))
        if largest > clip:
            raise TrainerError(
                f"the training changed a value of {name} by {largest:.3g}, beyond privacy.clip = {clip:g}; "
                f"nothing was sent, since the sum would be wrong: raise clip or train for fewer epochs"
            )
        found.append(change.ravel())
    return np.concatenate(found)
