"""The regions of one round: who is there, and what they answer in time.

Flower's own `send_and_receive` looks for replies every three seconds and its strategies wait for their
minimum of nodes for ever. Here replies are looked for ten times a second, and nothing waits beyond
its time: a region that does not answer is left out of the rest of the round.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Protocol, TypeVar

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from federation.errors import MalformedError, RegionFailedError, RoundFailedError
from federation.protocol.messages import Question, array_bytes, raise_failure, region_of
from federation.round.result import Refusal
from federation.round.settings import RoundSettings

T = TypeVar("T")
_POLL_S = 0.1

WORDS = 500
"""Characters of a sentence on record: regions have their say in some of them."""

SPARE_BYTES = 1 << 16
"""By which the arrays of a reply may be more than those of its question: names of templates, quantiles of scores."""


class Clock(Protocol):
    """Time for deadlines."""

    def now(self) -> float:
        """Seconds; never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Waits."""
        ...


class MonotonicClock:
    """The machine's."""

    def now(self) -> float:
        """See `Clock`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        time.sleep(seconds)


def _registered_names(grid: Grid) -> dict[int, str]:
    """Names under which the nodes' keys were registered, by node; only the grid of a SuperLink with keys knows any."""
    return {info.node_id: info.name for info in getattr(grid, "get_nodes", tuple)() if info.name}


class Fleet:
    """Asks regions and keeps account of those that failed.

    Attributes:
        regions: Node id by name, of the regions that have a say in the round.
        refusals: Replies that were not used, in order.
        missing: Regions, or nodes that never gave a name, that did not answer in time, in order.
    """

    def __init__(self, grid: Grid, settings: RoundSettings, clock: Clock) -> None:
        """The round's deadline counts from here."""
        self._grid = grid
        self._settings = settings
        self._clock = clock
        self._deadline = clock.now() + settings.deadline_s
        self.regions: dict[str, int] = {}
        self.refusals: list[Refusal] = []
        self.missing: list[str] = []

    def greet(self, question: Question) -> None:
        """Asks every node that is online for its name; the name belongs to the node for the whole round.

        A name that two nodes claim is believed of neither; nor is one that is not the name under which the
        node's key was registered.
        """
        names: dict[int, str] = {}
        registered = _registered_names(self._grid)
        nodes = {node: registered.get(node, f"node {node}") for node in self._grid.get_node_ids()}
        for node, reply in self._replies(nodes, question, self._settings.hello_s):
            try:
                names[node] = region_of(reply)
                raise_failure(reply)
                if names[node] != registered.get(node, names[node]):
                    raise MalformedError(
                        f"its key is that of {registered[node]}, and it says that it is {names.pop(node)}"
                    )
            except (MalformedError, RegionFailedError) as error:
                self._note(Refusal(names.pop(node, nodes[node]), 0, str(error)))
        for node, name in sorted(names.items()):
            if claimed := [str(n) for n, other in sorted(names.items()) if other == name and n != node]:
                reason = f"node {node} and node {', '.join(claimed)} both say that they are {name}"
                self._note(Refusal(name, 0, reason))
            else:
                self.regions[name] = node

    def collect(
        self, question: Question, read: Callable[[str, RecordDict], T], regions: Iterable[str], number: int
    ) -> dict[str, T]:
        """What regions answer, by name; whoever does not answer in time or not as asked is noted.

        A region that says why it cannot do what was asked keeps its say in the round.

        Args:
            question: Sent to each.
            read: Reads a reply; raises `MalformedError` or `RegionFailedError`.
            regions: Who is asked; those that have no say any more are passed over.
            number: Of the pass, for the account.
        """
        asked = {self.regions[name]: name for name in regions if name in self.regions}
        found: dict[str, T] = {}
        most = array_bytes(question.content) + SPARE_BYTES
        for node, reply in self._replies(asked, question, self._settings.reply_s):
            region = asked[node]
            try:
                raise_failure(reply)
                if (said := region_of(reply)) != region:
                    raise MalformedError(f"the reply of {region} says that it comes from {said}")
                if (size := array_bytes(reply)) > most:
                    raise MalformedError(f"the arrays of its reply take {size} bytes, more than {most}")
                found[region] = read(region, reply)
            except RegionFailedError as error:
                self._note(Refusal(region, number, str(error)))
            except MalformedError as error:
                self.refuse([Refusal(region, number, str(error))])
        return found

    def refuse(self, refusals: Iterable[Refusal]) -> None:
        """Notes replies that cannot be used; their regions have no further say in the round."""
        for refusal in refusals:
            self._note(refusal)
            self.regions.pop(refusal.region, None)

    def _note(self, refusal: Refusal) -> None:
        self.refusals.append(replace(refusal, reason=refusal.reason[:WORDS]))

    def need(self, have: Iterable[str], step: str) -> None:
        """Ends the round if too few regions are left for it to go on.

        Raises:
            RoundFailedError: with all that went wrong so far.
        """
        names = sorted(have)
        if len(names) >= self._settings.min_regions:
            return
        wrong = [f"{r.region}: {r.reason}" for r in self.refusals] + [f"{m}: no answer in time" for m in self.missing]
        raise RoundFailedError(
            f"{step}: {len(names)} regions of {self._settings.min_regions} needed ({', '.join(names) or 'none'}); "
            f"{'; '.join(wrong) or 'no other node is online'}",
            self.regions,
        )

    def _replies(self, asked: dict[int, str], question: Question, seconds: float) -> Iterator[tuple[int, RecordDict]]:
        """Node and content of each reply within `seconds` and the deadline; errors and silence are noted."""
        until = min(self._clock.now() + seconds, self._deadline)
        left = until - self._clock.now()
        if left < _POLL_S:
            spent = f"the {self._settings.deadline_s:g} s that the regions had were over before '{question.kind}'"
            raise RoundFailedError(spent, self.regions)
        nodes = sorted(asked)
        # A message that was not fetched in time dies with the question, so no node works on it later.
        messages = [Message(question.content, node, question.kind, ttl=left) for node in nodes]
        sent = dict(zip(self._grid.push_messages(messages), nodes, strict=False)) if messages else {}
        waiting = {message: node for message, node in sent.items() if message}
        while waiting:
            for reply in self._grid.pull_messages(list(waiting)):
                node = waiting.pop(reply.metadata.reply_to_message_id, None)
                if node is not None and reply.has_error():
                    self.refuse([Refusal(asked[node], 0, f"its app failed: {reply.error.reason}")])
                elif node is not None:
                    yield node, reply.content
            left = until - self._clock.now()
            if not waiting or left < _POLL_S:
                break
            self._clock.sleep(_POLL_S)
        silent = set(waiting.values()) | set(nodes) - set(sent.values())
        for node in sorted(silent):
            self.missing.append(asked[node])
            self.regions.pop(asked[node], None)
