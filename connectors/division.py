"""Saved positions of a source, divided among another number of workers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.base import State
from connectors.files import FileSettings, owner_of, partition_name, unit_of
from connectors.kafka_source import KafkaSourceSettings


@dataclass(frozen=True, slots=True)
class Division:
    """Who reads what from now on.

    Attributes:
        units: Positions by unit of parallelism, for each worker.
        owner: The worker that reads a partition (see `LineBatch.partition`).
    """

    units: list[dict[str, State]]
    owner: Callable[[str], int]


def divide_topic(_settings: KafkaSourceSettings, states: Mapping[str, State], of: int) -> Division:
    """Divide the partitions of a topic, as `KafkaSource.partitions` does."""

    def owner(partition: str) -> int:
        return int(partition.rpartition("/")[2]) % of

    return Division([{name: s for name, s in states.items() if owner(name) == i} for i in range(of)], owner)


def divide_files(settings: FileSettings, states: Mapping[str, State], of: int) -> Division:
    """Divide files by the hash of their path, as `FileSource.files` does."""
    parts: list[dict[str, dict[str, Any]]] = [{"files": {}, "forgotten": {}} for _ in range(of)]
    owners: dict[str, int] = {}
    for state in states.values():
        for kind in ("files", "forgotten"):
            for path, place in state.get(kind, {}).items():
                worker = owners[partition_name(path)] = owner_of(path, of, follow=settings.follow)
                parts[worker][kind][path] = place

    def owner(partition: str) -> int:
        found = owners.get(partition)
        return owner_of(partition, of, follow=settings.follow) if found is None else found

    return Division([{unit_of(i, of): part} for i, part in enumerate(parts)], owner)
