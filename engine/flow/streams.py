"""The streams between the steps: their keys, and which of two kinds an item is.

Before the windows the key is the source partition. After them it is the shard, whose windows are scored
and alerted together: the only one of a worker, or one of several where sessions cross partitions.
"""

from typing import TypeGuard

import bytewax.operators as op
from bytewax.operators import KeyedStream

from connectors.base import Record
from engine.flow.worker_context import Context, SourceReports
from engine.parsing.parsed import Parsed
from engine.records import DecidedWindows, ParsedLines, Rejected, WindowBatch
from engine.settings import RegionSettings
from engine.steps import route
from engine.steps.source import SourceInput

WindowOutput = WindowBatch | Rejected
"""What the window step gives."""

Decided = DecidedWindows
"""What the decision gives."""

Counted = Decided | Record
"""What is counted of windows: decisions and the alerts that were sent."""

Rejectable = Parsed | WindowOutput
"""What the streams of dead letters are declared to hold: both branches of a step have the type of its items."""


def source_of(context: Context) -> SourceInput:
    """The region's source as an input of the flow."""
    reports = SourceReports(context.telemetry, context.drain)
    return SourceInput(context.source, context.drain.requested, reports, context.clock, pace=context.pace)


def shards_of(settings: RegionSettings) -> list[str]:
    """Keys of the streams after the windows."""
    return [str(i) for i in range(settings.shards)] if settings.route == "session" else ["0"]


def shard_of(key: str, settings: RegionSettings) -> str:
    """The shard of a key before or after the windows; partitions of a worker share its one shard.

    Routed items have their shard as key already. Dead letters of the parse step have not.
    """
    routed = settings.route == "session" and key.isdecimal() and int(key) < settings.shards
    return key if routed else "0"


def to_windows(parsed: KeyedStream[Parsed], settings: RegionSettings) -> KeyedStream[ParsedLines]:
    """Key lines by what their windows are cut from: a partition, or a shard where sessions cross partitions."""
    if settings.route == "partition":
        return op.map("lines", parsed, lambda item: (item[0], item[1].good))
    return op.flat_map("route", parsed, lambda item: route.by_session(item[1].good, settings.shards))


def to_shard(name: str, records: KeyedStream[Record], settings: RegionSettings) -> KeyedStream[Record]:
    """Key what a partition reports by the shard that delivers it."""
    return op.map(name, records, lambda item: (shard_of(item[0], settings), item[1]))


def is_parsed(item: tuple[str, Parsed | Rejected]) -> TypeGuard[tuple[str, Parsed]]:
    """Whether an item of the parse step is a batch of lines; else it is dead letters."""
    return isinstance(item[1], Parsed)


def is_windows(item: tuple[str, WindowOutput]) -> TypeGuard[tuple[str, WindowBatch]]:
    """Whether an item of the window step is a batch of windows; else it is late lines."""
    return isinstance(item[1], WindowBatch)
