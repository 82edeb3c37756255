"""The regions of one round: which are present, and what they answer in time.

Nothing waits beyond its time limit: a region that does not answer is left out of the rest of the round.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
from flwr.app import RecordDict
from numpy.typing import NDArray

from federation.errors import MalformedError, RegionFailedError, RoundFailedError
from federation.protocol.arrays import array_bytes, content_bytes
from federation.protocol.messages import Question, raise_failure, region_of
from federation.protocol.records import Counted, TrainTask, Weights
from federation.round.network import Network
from federation.round.result import Refusal
from federation.round.settings import RoundSettings

T = TypeVar("T")

MIN_WAIT_S = 0.1
"""With less time left before the round's deadline, no further request is sent."""

MAX_REASON_CHARACTERS = 500
"""Longest reason of a refusal on record; regions write some of them."""

BYTES_TO, BYTES_FROM = "bytes_to.", "bytes_from."
"""How the figures of a step begin that count bytes; the name of the region follows."""

SPARE_BYTES = 1 << 16
"""How many more bytes of arrays a reply may have than its question: for template ids and score quantiles."""


class Fleet:
    """Asks regions, and keeps account of those that failed.

    Attributes:
        regions: Node id by name, of the regions that are still part of the round.
        refusals: Replies that were not used, in order.
        missing: Regions that did not answer in time, in order; `node N` for a node that never gave a name.
    """

    def __init__(self, network: Network, settings: RoundSettings) -> None:
        """Start the round's deadline.

        Args:
            network: Reaches the regions.
            settings: Settings of the round.
        """
        self._network = network
        self._settings = settings
        self._deadline_s = network.now_s() + settings.deadline_s
        self.regions: dict[str, int] = {}
        self.refusals: list[Refusal] = []
        self.missing: list[str] = []
        self._nodes: dict[str, int] = {}
        self._sent: Counter[int] = Counter()
        self._received: Counter[int] = Counter()

    def traffic(self) -> dict[str, float]:
        """Bytes to and from each region so far, as figures `bytes_to.NAME` and `bytes_from.NAME`.

        Messages of secure aggregation, which Flower's own workflow exchanges, are not counted.
        """
        named = sorted(self._nodes.items())
        sent = {f"{BYTES_TO}{name}": float(self._sent[node]) for name, node in named}
        return sent | {f"{BYTES_FROM}{name}": float(self._received[node]) for name, node in named}

    def hello(self, question: Question) -> None:
        """Ask every online node for its region's name, which it keeps for the whole round.

        A name that two nodes claim is refused for both; so is one that differs from the name under which the
        node's key was registered.
        """
        registered = self._network.nodes()
        labels = {node: name or f"node {node}" for node, name in registered.items()}
        names: dict[int, str] = {}
        for node, content in self._replies(labels, question, self._settings.hello_s):
            try:
                claimed = region_of(content)
                if registered[node] and claimed != registered[node]:
                    raise MalformedError(f"its key is that of {registered[node]}, but it claims to be {claimed}")
                labels[node] = claimed
                raise_failure(content)
                names[node] = claimed
            except (MalformedError, RegionFailedError) as error:
                self._note(Refusal(labels[node], 0, str(error)))
        for node, name in sorted(names.items()):
            if others := [str(n) for n, other in sorted(names.items()) if other == name and n != node]:
                self._note(Refusal(name, 0, f"node {node} and node {', '.join(others)} both claim to be {name}"))
            else:
                self.regions[name] = self._nodes[name] = node

    def collect(
        self, question: Question, read: Callable[[str, RecordDict], T], regions: Iterable[str], number: int,
        *, extra_bytes: int = 0,
    ) -> dict[str, T]:  # fmt: skip
        """Ask regions and return their answers by name; silence and replies that cannot be used are noted.

        A region that reports why it cannot fulfil a request stays part of the round.

        Args:
            question: Sent to each region.
            read: Reads a reply; raises `MalformedError` or `RegionFailedError`.
            regions: Regions to ask; those that are no longer part of the round are skipped.
            number: Pass, for the account.
            extra_bytes: How much larger the arrays of a reply may be than those of the question and `SPARE_BYTES`.
        """
        asked = {self.regions[name]: name for name in regions if name in self.regions}
        found: dict[str, T] = {}
        max_bytes = array_bytes(question.content) + SPARE_BYTES + extra_bytes
        for node, content in self._replies(asked, question, self._settings.reply_s):
            region = asked[node]
            try:
                raise_failure(content)
                if (claimed := region_of(content)) != region:
                    raise MalformedError(f"the reply of {region} claims to come from {claimed}")
                if (size := array_bytes(content)) > max_bytes:
                    raise MalformedError(f"the arrays of its reply take {size} bytes, more than {max_bytes}")
                found[region] = read(region, content)
            except RegionFailedError as error:
                self._note(Refusal(region, number, str(error)))
            except MalformedError as error:
                self.refuse([Refusal(region, number, str(error))])
        return found

    def masked_mean(
        self, regions: Iterable[str], task: TrainTask, weights: Weights, threshold: int
    ) -> tuple[NDArray[np.float64], Mapping[str, Counted]]:
        """Let regions train and return the mean of their changes; failed and silent regions are noted.

        Args:
            regions: Regions to ask; all of them are part of the round.
            task: Task of the pass.
            weights: Weights to start from.
            threshold: Minimum number of regions in the mean.

        Returns:
            The mean change, float64 (n,), in the order of `floating`; the regions in it.

        Raises:
            RoundFailedError: fewer than `threshold` regions took part until the end.
        """
        wait_s = self._settings.reply_s
        nodes = {region: self.regions[region] for region in regions}
        mean = self._network.masked_mean(nodes, task, weights, threshold=threshold, wait_s=wait_s)
        self.refuse(Refusal(region, task.number, reason) for region, reason in sorted(mean.failed.items()))
        for region in mean.silent:
            self._drop_silent(region)
        if mean.change is None:
            account = self.account() or "no reason given"
            raise RoundFailedError(f"secure aggregation halted in pass {task.number}: {account}", self.regions)
        return mean.change, mean.counted

    def refuse(self, refusals: Iterable[Refusal]) -> None:
        """Note replies that cannot be used; their regions are no longer part of the round."""
        for refusal in refusals:
            self._note(refusal)
            self.regions.pop(refusal.region, None)

    def require(self, regions: Iterable[str], step: str, needed: int | None = None) -> None:
        """Raise RoundFailedError with the account so far if these regions are fewer than needed.

        Args:
            regions: Names of regions.
            step: Step of the round, for the message.
            needed: How many are needed; None: `min_regions`.
        """
        names, needed = sorted(regions), self._settings.min_regions if needed is None else needed
        if len(names) < needed:
            raise RoundFailedError(
                f"{step}: {len(names)} regions of {needed} needed ({', '.join(names) or 'none'}); "
                f"{self.account() or 'no other node is online'}",
                self.regions,
            )

    def account(self) -> str:
        """All refusals and silent regions so far, in one line."""
        refused = [f"{refusal.region}: {refusal.reason}" for refusal in self.refusals]
        return "; ".join(refused + [f"{region}: no answer in time" for region in self.missing])

    def _note(self, refusal: Refusal) -> None:
        self.refusals.append(replace(refusal, reason=refusal.reason[:MAX_REASON_CHARACTERS]))

    def _drop_silent(self, region: str) -> None:
        self.missing.append(region)
        self.regions.pop(region, None)

    def _replies(
        self, labels: Mapping[int, str], question: Question, limit_s: float
    ) -> Iterator[tuple[int, RecordDict]]:
        """Node and content of each reply within `limit_s` and the deadline; errors and silence are noted."""
        wait_s = min(limit_s, self._deadline_s - self._network.now_s())
        if wait_s < MIN_WAIT_S:
            spent = f"the round's {self._settings.deadline_s:g} s for the regions were over before '{question.kind}'"
            raise RoundFailedError(spent, self.regions)
        silent = set(labels)
        self._sent.update(dict.fromkeys(labels, content_bytes(question.content)))
        for reply in self._network.ask(question, sorted(labels), wait_s):
            silent.discard(reply.node)
            if reply.content is None:
                self.refuse([Refusal(labels[reply.node], 0, f"its app failed: {reply.error}")])
            else:
                self._received[reply.node] += content_bytes(reply.content)
                yield reply.node, reply.content
        for node in sorted(silent):
            self._drop_silent(labels[node])
