"""One exchange over a Flower grid: messages out, replies back, within a time limit.

Flower's own `send_and_receive` polls every three seconds. A round is a chain of exchanges, so this one asks again
at once; the SuperLink holds a request until a reply comes.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from flwr.app import Message
from flwr.serverapp import Grid

POLL_S = 0.05
"""Pause between two requests for replies: long enough that one answer has the replies of several regions."""


class PollClock(Protocol):
    """Time for waiting; a test's clock advances in `sleep` alone."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class MonotonicClock:
    """The clock of the machine."""

    def now(self) -> float:
        """See `PollClock`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `PollClock`."""
        time.sleep(seconds)


def exchange(grid: Grid, clock: PollClock, messages: Sequence[Message], wait_s: float) -> Iterator[tuple[int, Message]]:
    """Push messages and yield (node, reply) as replies arrive, for at most `wait_s` seconds.

    A node without a reply in time is not yielded; a message that the grid did not accept gets no reply.
    """
    until = clock.now() + wait_s
    nodes = [message.metadata.dst_node_id for message in messages]
    sent = zip(grid.push_messages(messages), nodes, strict=False) if messages else ()
    waiting = {message_id: node for message_id, node in sent if message_id}
    while waiting:
        for reply in grid.pull_messages(list(waiting)):
            node = waiting.pop(reply.metadata.reply_to_message_id, None)
            if node is not None:
                yield node, reply
        if not waiting or until - clock.now() < POLL_S:
            break
        clock.sleep(POLL_S)
