"""The pipeline on one page: source → parse → window → score → decide → alert → sinks.

Each step is a file of its name. Items are batches, never lines. Before the windows a stream's key is
the source partition; behind them it is the shard that scores and alerts together: the only one of a
worker, or one of several where sessions cross partitions.
"""

from collections.abc import Sequence
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream

from connectors.base import Record
from connectors.dead_letters import to_records
from connectors.jsonl import JsonlSettings
from connectors.registry import build_sink
from engine import route
from engine.alert import AlertWriter
from engine.context import Context, SinkReports, SourceReports
from engine.records import ParsedLines, Rejected, WindowBatch
from engine.settings import RegionSettings, SinkSettings
from engine.sinks import SinkOutput, try_out
from engine.source import SourceInput
from engine.steps import DecideStep, ParseStep, ScoreStep, WindowStep

DEAD_LETTERS = "dead-letters"


def build(context: Context) -> Dataflow:
    """The flow of one worker process, not yet running."""
    settings = context.settings
    shards = [str(i) for i in range(settings.shards)] if settings.route == "session" else ["0"]
    alerts = AlertWriter(
        settings.alert, settings.region, recent=context.recent, templates=context.templates,
        describe=context.source.describe, clock=context.clock,
    )  # fmt: skip
    reports = SinkReports(context.telemetry)

    flow = Dataflow("driftline")
    lines = op.input("source", flow, _source(context))
    parsed = op.stateful_batch("parse", lines, lambda state: ParseStep(context, state))
    good = op.branch("unparsed", parsed, lambda item: isinstance(item[1], ParsedLines))
    keyed = _route(good.trues, context, len(shards))
    windows = op.stateful_batch("window", keyed, lambda state: WindowStep(context, state))
    timely = op.branch("late", windows, lambda item: isinstance(item[1], WindowBatch))
    gathered = _to_shard("gather", timely.trues, context)
    scored = op.stateful_batch("score", gathered, lambda state: ScoreStep(context, state))
    decided = op.stateful_batch("decide", scored, lambda state: DecideStep(context, state))
    records = op.flat_map("alert", decided, lambda item: [(item[0], r) for r in alerts.records(*item[1])])

    for name, sink in alert_sinks(settings).items():
        _output(name, records, sink, shards, context, reports)
    rejected = _to_shard("reject", op.merge("rejected", good.falses, timely.falses), context)
    dead = op.flat_map("letter", rejected, lambda item: [(item[0], r) for r in _letters(item[1], context)])
    _output(DEAD_LETTERS, dead, settings.dead_letters, shards, context, reports)
    return flow


def alert_sinks(settings: RegionSettings) -> dict[str, SinkSettings]:
    """The sinks of alerts by the names that metrics and messages give them."""
    return {f"{i}-{sink.type}": sink for i, sink in enumerate(settings.sinks)}


def try_sinks(context: Context) -> bool:
    """Waits until every sink of this worker can be opened; False if a stop was requested before."""
    reports, stop = SinkReports(context.telemetry), context.drain.requested
    named = {**alert_sinks(context.settings), DEAD_LETTERS: context.settings.dead_letters}
    return all(try_out(name, build_sink(own(sink, context, "0")), reports, stop) for name, sink in named.items())


def _source(context: Context) -> SourceInput:
    return SourceInput(context.source, context.drain.requested, SourceReports(context.telemetry), context.clock)


def _route(parsed: KeyedStream[ParsedLines], context: Context, shards: int) -> KeyedStream[ParsedLines]:
    """Windows are cut per partition, or per shard where a session's lines cross partitions."""
    if context.settings.route == "partition":
        return parsed
    return op.flat_map("route", parsed, lambda item: route.by_session(item[1], shards))


def _to_shard(
    name: str, items: KeyedStream[WindowBatch | Rejected], context: Context
) -> KeyedStream[WindowBatch | Rejected]:
    """Partitions of a worker meet in its one shard; items that were routed stay where they are."""
    shards = [str(i) for i in range(context.settings.shards)]
    if context.settings.route == "session":
        # Dead letters of the parse step still carry their partition as the key.
        return op.map(name, items, lambda item: item if item[0] in shards else ("0", item[1]))
    return op.map(name, items, lambda item: ("0", item[1]))


def _letters(rejected: Rejected, context: Context) -> list[Record]:
    return to_records(
        rejected.letters,
        partition=rejected.partition,
        region=context.settings.region,
        time_ns=context.clock.wall_ns(),
    )


def _output(
    name: str, records: KeyedStream[Record], sink: SinkSettings, shards: Sequence[str], context: Context,
    reports: SinkReports,
) -> None:  # fmt: skip
    output = SinkOutput(
        name, lambda shard: build_sink(own(sink, context, shard)), shards, reports,
        expired=context.drain.expired, stop=context.drain.requested,
    )  # fmt: skip
    op.output(name, records, output)


def own(sink: SinkSettings, context: Context, shard: str) -> SinkSettings:
    """The sink's settings for one of several writers: a file has one writer, so each gets its own.

    `alerts.jsonl` becomes `alerts.0.jsonl` for worker 0 of several, or for shard 0.
    """
    if not isinstance(sink, JsonlSettings) or sink.path == "-":
        return sink
    number = shard if context.settings.route == "session" else str(context.worker)
    if context.of == 1 and context.settings.shards == 1:
        return sink
    path = Path(sink.path)
    return sink.model_copy(update={"path": str(path.with_suffix(f".{number}{path.suffix}"))})
