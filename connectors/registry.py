"""Every source and sink by the `type` that settings name it with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field

from connectors.base import SettingsError, Sink, Source, State
from connectors.channels.registry import CHANNELS, ChannelSinkSettings
from connectors.division import Division, divide_files, divide_topic
from connectors.files import FileSettings, FileSource
from connectors.http_sink import HttpSettings, HttpSink
from connectors.jsonl import JsonlSettings, JsonlSink
from connectors.kafka_sink import KafkaSinkSettings
from connectors.kafka_source import KafkaSource, KafkaSourceSettings
from connectors.kafka_transactions import sink_of
from connectors.memory import MemorySink, MemorySinkSettings, MemorySource, MemorySourceSettings
from connectors.sql_settings import SqlSettings
from connectors.stdin import StdinSettings, StdinSource
from foundation.extras import require

SourceSettings = Annotated[
    FileSettings | StdinSettings | KafkaSourceSettings | MemorySourceSettings, Field(discriminator="type")
]
"""What a region's settings may name as a source."""

SinkSettings = Annotated[
    KafkaSinkSettings | SqlSettings | JsonlSettings | MemorySinkSettings | HttpSettings | ChannelSinkSettings,
    Field(discriminator="type"),
]
"""What a region's settings may name as a sink."""


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """A kind of source.

    Attributes:
        settings: Its settings.
        build: Builds the share of worker `worker` of `of`.
        divide: Divides saved positions among another number of workers; None where only one can read.
    """

    settings: type[BaseModel]
    build: Callable[[Any, int, int], Source]
    divide: Callable[[Any, Mapping[str, State], int], Division] | None = None


@dataclass(frozen=True, slots=True)
class SinkEntry:
    """A kind of sink: its settings, and how it is built."""

    settings: type[BaseModel]
    build: Callable[[Any], Sink]


def _stdin(settings: StdinSettings, worker: int, of: int) -> Source:
    if of > 1:
        raise SettingsError(f"standard input has one reader, not {of} workers: set workers = 1")
    return StdinSource(settings)


def _memory(settings: MemorySourceSettings, worker: int, of: int) -> Source:
    lines = [line.encode() for line in settings.lines[worker::of]]
    return MemorySource({f"memory/{worker}": lines}, batch_lines=settings.batch_lines)


def _sql(settings: SqlSettings) -> Sink:
    require("sql", "the SQL sink")
    if settings.url.get_secret_value().startswith("postgresql"):
        require("postgresql", "a SQL sink in PostgreSQL")
    from connectors.sql import SqlSink

    return SqlSink(settings)


SOURCES: dict[str, SourceEntry] = {
    "file": SourceEntry(FileSettings, lambda s, worker, of: FileSource(s, worker=worker, of=of), divide_files),
    "stdin": SourceEntry(StdinSettings, _stdin),
    "kafka": SourceEntry(KafkaSourceSettings, lambda s, worker, of: KafkaSource(s, worker=worker, of=of), divide_topic),
    "memory": SourceEntry(MemorySourceSettings, _memory),
}

SINKS: dict[str, SinkEntry] = {
    "kafka": SinkEntry(KafkaSinkSettings, sink_of),
    "sql": SinkEntry(SqlSettings, _sql),
    "jsonl": SinkEntry(JsonlSettings, JsonlSink),
    "memory": SinkEntry(MemorySinkSettings, lambda _: MemorySink()),
    "http": SinkEntry(HttpSettings, HttpSink),
    **{name: SinkEntry(channel.settings, channel.build) for name, channel in CHANNELS.items()},
}


def build_source(settings: SourceSettings, *, worker: int = 0, of: int = 1) -> Source:
    """The share of worker `worker` of `of`.

    Raises:
        SettingsError: this kind of source cannot be shared, or its settings cannot work.
    """
    return SOURCES[settings.type].build(settings, worker, of)


def divide_positions(settings: SourceSettings, states: Mapping[str, State], of: int) -> Division:
    """Divide the saved positions of all units of a source among so many workers.

    Raises:
        SettingsError: this kind of source cannot be divided.
    """
    divide = SOURCES[settings.type].divide
    if divide is None:
        raise SettingsError(f'a source of type "{settings.type}" cannot be divided among another number of workers')
    return divide(settings, states, of)


def build_sink(settings: SinkSettings) -> Sink:
    """A sink that is not open yet.

    Raises:
        SettingsError: its settings cannot work.
    """
    return SINKS[settings.type].build(settings)
