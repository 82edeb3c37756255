"""A Flower grid whose regions live in this process: a public fake for tests and benchmarks, not used by the product.

The same records pass through it as through a SuperLink, so a round works in the same way.
"""

from collections.abc import Iterable, Mapping

from flwr.app import Error, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from federation.flower.record_codec import unpacked
from federation.protocol.messages import RegionClient, answer

_APP_RAISED = 6
"""Flower's code for a ClientApp that raised an exception."""


class LocalGrid(Grid):
    """Asks regions one after the other, when a message is pushed."""

    def __init__(self, regions: Mapping[str, RegionClient]) -> None:
        """Node ids count from 1 in the order of the names."""
        self._regions = {number: regions[name] for number, name in enumerate(sorted(regions), 1)}
        self._replies: dict[str, Message] = {}
        self._pushed = 0
        self._run: Run | None = None
        # A message reads its sender here; in a ServerApp, the process that runs it sets these.
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1

    def set_run(self, run: Run) -> None:
        """See `Grid`."""
        self._run = run

    @property
    def run(self) -> Run:
        """See `Grid`."""
        if self._run is None:
            raise ValueError("no run was set for this grid")
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """See `Grid`."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """See `Grid`."""
        return list(self._regions)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Have every message answered at once."""
        ids = []
        for message in messages:
            self._pushed += 1
            ids.append(f"{self._pushed}")
            message.metadata.__dict__["_message_id"] = ids[-1]
            reply = self.reply(self._regions[message.metadata.dst_node_id], message)
            if reply is not None:
                self._replies[ids[-1]] = reply
        return ids

    def reply(self, region: RegionClient, message: Message) -> Message | None:
        """A region's reply; a subclass may return None for a silent region."""
        try:
            content = unpacked(message.content)
            return Message(answer(region, message.metadata.message_type, content), reply_to=message)
        except Exception as error:
            # In the place of the edge of the region's process, where any exception becomes an error reply.
            return Message(Error(_APP_RAISED, f"{type(error).__name__}: {error}"), reply_to=message)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """See `Grid`; a reply is returned once."""
        return [self._replies.pop(i) for i in message_ids if i in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """See `Grid`."""
        return self.pull_messages(self.push_messages(messages))
