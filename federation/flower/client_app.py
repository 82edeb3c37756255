"""The Flower ClientApp of a region: passes bytes to the warm trainer and its answer back, nothing else.

It imports no torch (a test asserts that): what Flower starts for a message must start fast and be cheap
to kill. Which socket the trainer listens on and how long a job may take is the node's own configuration
(`federation.flower.node`), never the coordinator's.
"""

import time
from pathlib import Path

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from federation.errors import TrainerError
from federation.flower.record_codec import pack, unpack
from federation.protocol.messages import TRAIN, failure
from federation.protocol.secagg_client import answer, is_secure
from federation.region.trainer_process import request

ANSWER_S = 2.0
"""Kept back from a message's remaining life, so that a job killed at its deadline can still be reported."""

UNMASKED = "this region sends masked updates only ([node.privacy] require = secagg), and the round asks for a plain one"

app = ClientApp()


@app.query("hello")
@app.query("templates")
@app.train()
@app.query("calibrate")
@app.evaluate()
def hand_over(message: Message, context: Context) -> Message:
    """Gives the message's records to the trainer and replies with what it answers, masked if that was asked.

    Raises:
        FederationError: see `federation.region.trainer_process.request`; Flower gets it as an error reply.
    """
    metadata = message.metadata
    left_s = metadata.created_at + metadata.ttl - time.time() - ANSWER_S
    if left_s <= 0:
        raise TrainerError(f"the {metadata.message_type} job came too late: nobody waits for its answer any more")
    limit_s = min(left_s, float(context.node_config["limit_s"]))
    socket = Path(str(context.node_config["socket"]))

    def ask(content: RecordDict) -> RecordDict:
        return unpack(request(socket, metadata.message_type, pack(content), limit_s))

    if is_secure(message):
        return answer(message, context, ask)
    if context.node_config.get("require") == "secagg" and metadata.message_type.startswith(TRAIN):
        # The task may say secagg where nothing masks: only what comes by the protocol is masked.
        return Message(failure(str(context.node_config["region"]), UNMASKED), reply_to=message)
    return Message(ask(message.content), reply_to=message)
