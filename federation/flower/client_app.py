"""The Flower ClientApp of a region: passes bytes to the trainer and its answer back.

It imports no torch (tested): an app that Flower starts for a message must start fast and be cheap to kill. The
trainer's socket and the time limit of a job come from the node's own configuration (`federation.flower.node`),
never from the coordinator.
"""

import time
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from federation.errors import TrainerError
from federation.flower.record_codec import pack, raw_of, unpack, wrap
from federation.flower.secagg_client import answer, is_secure
from federation.protocol.messages import TRAIN, failure
from federation.region.trainer_process import request

ANSWER_S = 2.0
"""Reserved at the end of a message's life, so that a job killed at its deadline can still be reported."""

PLAIN_REFUSED = (
    "this region sends masked updates only ([node.privacy] require = secagg), and the round asks for a plain one"
)

app = ClientApp()


@app.query("hello")
@app.query("templates")
@app.train()
@app.query("calibrate")
@app.evaluate()
def forward(message: Message, context: Context) -> Message:
    """Pass the message's records to the trainer and reply with its answer, masked if the message asks for that.

    Raises:
        FederationError: see `federation.region.trainer_process.request`; Flower gets it as an error reply.
    """
    metadata = message.metadata
    left_s = metadata.created_at + metadata.ttl - time.time() - ANSWER_S
    if left_s <= 0:
        raise TrainerError(f"the {metadata.message_type} job came too late: its answer would arrive after the deadline")
    limit_s = min(left_s, float(context.node_config["limit_s"]))
    socket = Path(str(context.node_config["socket"]))

    def ask(raw: bytes) -> bytes:
        return request(socket, metadata.message_type, raw, limit_s)

    if is_secure(message):
        return answer(message, context, lambda content: unpack(ask(pack(content))))
    if context.node_config.get("masked_only") and metadata.message_type.startswith(TRAIN):
        # The task may state secagg without masking anything: only messages of the protocol are masked.
        return Message(failure(str(context.node_config["region"]), PLAIN_REFUSED), reply_to=message)
    return Message(wrap(ask(raw_of(message.content))), reply_to=message)
