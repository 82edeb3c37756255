"""The pipeline on one page: source → parse → window → score → decide → alert → sinks.

Beside decide, drift watches the same scores and tells the coordinator of federated rounds, and collect
keeps windows to learn from.
Each step is a file of its name. Items are batches, never lines. Before the windows a stream's key is
the source partition; behind them it is the shard that scores and alerts together: the only one of a
worker, or one of several where sessions cross partitions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream

from connectors.base import Record
from connectors.dead_letters import to_records
from connectors.jsonl import JsonlSettings
from connectors.registry import SinkSettings, build_sink
from engine.flow.bytewax_steps import DecideStep, DriftStep, ParseStep, ScoreStep, WindowStep
from engine.flow.worker_context import Context, SinkReports, SourceReports
from engine.records import ParsedLines, Rejected, WindowBatch
from engine.settings import RegionSettings
from engine.steps import route
from engine.steps.alert import AlertWriter
from engine.steps.explain import Explainer
from engine.steps.sinks import SinkOutput, try_out
from engine.steps.source import SourceInput

DEAD_LETTERS = "dead-letters"
DRIFT_EVENTS = "drift-events"


def build(context: Context) -> Dataflow:
    """The flow of one worker process, not yet running."""
    settings = context.settings
    shards = [str(i) for i in range(settings.shards)] if settings.route == "session" else ["0"]
    alerts = AlertWriter(
        settings.alert, settings.region, recent=context.recent, templates=context.templates,
        describe=context.source.describe, clock=context.clock, explain=Explainer(context.models),
        classify=context.classify,
    )  # fmt: skip
    reports = SinkReports(context.telemetry)

    flow = Dataflow("driftline")
    lines = op.input("source", flow, _source(context))
    parsed = op.stateful_batch("parse", lines, lambda state: ParseStep(context, state))
    good = op.branch("unparsed", parsed, _is_parsed)
    keyed = _route(good.trues, context, len(shards))
    windows = op.stateful_batch("window", keyed, lambda state: WindowStep(context, state))
    timely = op.branch("late", windows, _is_windows)
    gathered = op.map("gather", timely.trues, lambda item: (_shard(item[0], context), item[1]))
    scored = op.stateful_batch("score", gathered, lambda state: ScoreStep(context, state))
    if (collector := context.collector) is not None:
        op.inspect("collect", scored, lambda _, item: collector.offer(item[1]))
    decided = op.stateful_batch("decide", scored, lambda state: DecideStep(context, state))
    records = op.flat_map("alert", decided, lambda item: [(item[0], r) for r in alerts.records(*item[1])])

    for name, sink in alert_sinks(settings).items():
        _output(name, records, sink, shards, context, reports)
    if settings.drift_events is not None:
        drifted = op.stateful_batch("drift", scored, lambda state: DriftStep(context, state))
        _output(DRIFT_EVENTS, drifted, settings.drift_events, shards, context, reports)
    rejected = op.merge("rejected", good.falses, timely.falses)
    dead = op.flat_map("letter", rejected, lambda item: _letters(item[0], item[1], context))
    _output(DEAD_LETTERS, dead, settings.dead_letters, shards, context, reports)
    return flow


def alert_sinks(settings: RegionSettings) -> dict[str, SinkSettings]:
    """The sinks of alerts by the names that metrics and messages give them."""
    return {f"{i}-{sink.type}": sink for i, sink in enumerate(settings.sinks)}


def try_sinks(context: Context) -> bool:
    """Waits until every sink of this worker can be opened; False if a stop was requested before."""
    reports, stop = SinkReports(context.telemetry), context.drain.requested
    named = {**alert_sinks(context.settings), DEAD_LETTERS: context.settings.dead_letters}
    if context.settings.drift_events is not None:
        named[DRIFT_EVENTS] = context.settings.drift_events
    return all(try_out(name, build_sink(own(sink, context, "0")), reports, stop) for name, sink in named.items())


def _source(context: Context) -> SourceInput:
    reports = SourceReports(context.telemetry)
    return SourceInput(context.source, context.drain.requested, reports, context.clock, pace=context.pace)


def _route(parsed: KeyedStream[ParsedLines], context: Context, shards: int) -> KeyedStream[ParsedLines]:
    """Windows are cut per partition, or per shard where a session's lines cross partitions."""
    if context.settings.route == "partition":
        return parsed
    return op.flat_map("route", parsed, lambda item: route.by_session(item[1], shards))


def _is_parsed(item: tuple[str, ParsedLines | Rejected]) -> TypeGuard[tuple[str, ParsedLines]]:
    return isinstance(item[1], ParsedLines)


def _is_windows(item: tuple[str, WindowBatch | Rejected]) -> TypeGuard[tuple[str, WindowBatch]]:
    return isinstance(item[1], WindowBatch)


def _shard(key: str, context: Context) -> str:
    """The shard that goes on with a key: partitions of a worker meet in its one shard.

    What was routed is keyed by its shard already; only dead letters of the parse step are not.
    """
    routed = context.settings.route == "session" and key.isdecimal() and int(key) < context.settings.shards
    return key if routed else "0"


def _letters(key: str, item: ParsedLines | WindowBatch | Rejected, context: Context) -> list[tuple[str, Record]]:
    if not isinstance(item, Rejected):
        raise TypeError(f"{type(item).__name__} is no dead letter")
    records = to_records(
        item.letters,
        partition=item.partition,
        region=context.settings.region,
        time_ns=context.clock.wall_ns(),
    )
    return [(_shard(key, context), record) for record in records]


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
