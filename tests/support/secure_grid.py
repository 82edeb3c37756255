"""A grid whose regions follow the protocol of secure aggregation as their ClientApps do."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from flwr.app import Context, Error, Message, RecordDict

from federation.flower.local_grid import LocalGrid
from federation.flower.record_codec import pack, unpack
from federation.flower.secagg_client import RECORD, answer, is_secure
from federation.protocol import messages
from federation.protocol.messages import RegionClient
from federation.protocol.records import TrainTask, Update, Weights
from tests.support.prepared import PreparedRegion


@contextmanager
def quiet_flower() -> Iterator[None]:
    """Without Flower's warnings about regions that are lost on purpose."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@dataclass
class DrawingRegion(PreparedRegion):
    """Changes every value by a number of its own."""

    def train(self, weights: Weights, task: TrainTask) -> Update:
        self.tasks.append(task)
        rng = np.random.default_rng([len(self.region), self.examples, task.number])
        moved = {
            name: (array + rng.normal(0, 0.2, array.shape)).astype(array.dtype) if array.dtype.kind == "f" else array
            for name, array in sorted(weights.items())
        }
        return self.spoil(Update(self.region, moved, self.examples, {"loss": 0.5}))


class SecureGrid(LocalGrid):
    """Answers the protocol's messages; `silent` regions stop at a stage."""

    def __init__(self, regions: Mapping[str, RegionClient], silent: dict[str, str] | None = None) -> None:
        super().__init__(regions)
        self.silent = silent or {}
        self.contexts: dict[str, Context] = {}
        self.seen: list[RecordDict] = []

    def reply(self, client: RegionClient, message: Message) -> Message | None:
        if not is_secure(message):
            return super().reply(client, message)
        # As over the network, each gets a copy of its own: the protocol changes what it was sent.
        message.content = unpack(pack(message.content))
        if message.content[RECORD]["stage"] == self.silent.get(client.region):
            return None
        empty = Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config={})
        context = self.contexts.setdefault(client.region, empty)
        try:
            reply = answer(message, context, lambda content: messages.answer(client, messages.TRAIN, content))
        except Exception as error:
            return Message(Error(6, f"{type(error).__name__}: {error}"), reply_to=message)
        self.seen.append(reply.content)
        return reply
