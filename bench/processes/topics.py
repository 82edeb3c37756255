"""Topics of a run: of the embedded broker, or of brokers that run already."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

from bench.harness import Run
from connectors.broker import EmbeddedBroker

_NUMBERS = itertools.count()


class RunningBroker(EmbeddedBroker):
    """Brokers that run already, and are left as they are."""

    def __init__(self, brokers: str) -> None:
        """Take the bootstrap servers."""
        self._brokers = brokers
        super().__init__()

    @property
    def brokers(self) -> str:
        """Bootstrap servers."""
        return self._brokers

    def start(self) -> EmbeddedBroker:
        """Nothing: they run."""
        return self


@contextmanager
def topics(run: Run, *partitions: int) -> Iterator[tuple[str, ...]]:
    """Brokers and the names of new topics with so many partitions each, deleted afterwards.

    `--set brokers=HOST:PORT` names the brokers; without it, the embedded one is started.
    """
    given = run.setting("brokers", "")
    names = [f"bench-{os.getpid()}-{next(_NUMBERS)}" for _ in partitions]
    with RunningBroker(given) if given else EmbeddedBroker() as broker:
        for name, number in zip(names, partitions, strict=True):
            broker.create_topic(name, number)
        yield broker.brokers, *names
        for name in names:
            broker.delete_topic(name)
