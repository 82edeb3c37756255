"""The pipeline on one page: source → parse → window → score → decide → alert → budget → sinks.

Findings take the short way: parse → find → budget.

Each step is a file of its name in `engine/steps/`; `engine/flow/` has what Bytewax needs to run them.
Items are batches, never lines. Find reports what is new or unusual without a model; window to alert need one. After
the score, drift watches the same windows and reports to the coordinator of federated rounds, and collect keeps windows
to learn from.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream

from connectors.base import Record
from engine.flow import streams
from engine.flow.budget_step import BudgetStep
from engine.flow.bytewax_steps import DecideStep, ParseStep, ScoreStep, WindowStep
from engine.flow.drift_step import DriftStep
from engine.flow.find_step import FindStep
from engine.flow.outputs import Outputs
from engine.flow.rollup_step import RollupStep, WindowRollupStep
from engine.flow.step import resumed
from engine.flow.worker_context import Context
from engine.steps.alert import AlertWriter
from engine.steps.explain import Explainer
from engine.steps.parse import Parsed


def build(context: Context) -> Dataflow:
    """The flow of one worker process, not yet running."""
    settings = context.settings
    outputs = Outputs(context)

    flow = Dataflow("driftline")
    lines = op.input("source", flow, streams.source_of(context))
    parsed = op.stateful_batch("parse", lines, resumed(ParseStep, context))
    good = op.branch("unparsed", parsed, streams.is_parsed)
    alerts: list[KeyedStream[Record]] = []
    rejected: list[KeyedStream[streams.Rejectable]] = [good.falses]
    decided: list[KeyedStream[streams.Decided]] = []
    if settings.learn is not None:
        found = op.stateful_batch("find", good.trues, resumed(FindStep, context))
        alerts.append(streams.to_shard("report", found, settings))
    if settings.model is not None:
        windows, raised, late = _windows(context, outputs, good.trues)
        decided.append(windows)
        alerts.append(raised)
        rejected.append(late)
    sent = op.stateful_batch("budget", op.merge("alerts", *alerts), resumed(BudgetStep, context))
    shown = outputs.alerts(sent)
    if settings.rollup is not None:
        of_lines = op.stateful_batch("rollup", good.trues, resumed(RollupStep, context))
        both: KeyedStream[streams.Counted] = op.merge("decided_and_sent", *decided, shown)
        of_shards = op.map("shards", both, lambda item: (item[0], item))
        counted = op.stateful_batch("count", of_shards, resumed(WindowRollupStep, context))
        outputs.rollup(op.merge("counted", streams.to_shard("counted_lines", of_lines, settings), counted))
    outputs.dead_letters(op.merge("rejected", *rejected))
    return flow


def _windows(
    context: Context, outputs: Outputs, parsed: KeyedStream[Parsed]
) -> tuple[KeyedStream[streams.Decided], KeyedStream[Record], KeyedStream[streams.WindowOutput]]:
    """Windows and the model that scores them; what was decided, alerts, and lines that came too late."""
    settings = context.settings
    writer = AlertWriter(
        settings.alert, settings.region, recent=context.recent, templates=context.templates,
        describe=context.source.describe, clock=context.clock, explain=Explainer(context.models),
        classify=context.classify,
    )  # fmt: skip
    keyed = streams.to_windows(parsed, settings)
    windows = op.stateful_batch("window", keyed, resumed(WindowStep, context))
    timely = op.branch("late", windows, streams.is_windows)
    gathered = op.map("gather", timely.trues, lambda item: (streams.shard_of(item[0], settings), item[1]))
    scored = op.stateful_batch("score", gathered, resumed(ScoreStep, context))
    if (collector := context.collector) is not None:
        op.inspect("collect", scored, lambda _, item: collector.offer(item[1]))
    decided = op.stateful_batch("decide", scored, resumed(DecideStep, context))
    if settings.drift_events is not None:
        drifted = op.stateful_batch("drift", scored, resumed(DriftStep, context))
        outputs.drift_events(drifted, settings.drift_events)
    alerts = op.flat_map("alert", decided, lambda item: [
        (item[0], record) for record in writer.records(item[1].scored, item[1].decisions)
    ])  # fmt: skip
    return decided, alerts, timely.falses
