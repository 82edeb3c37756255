"""The pipeline on one page: source → parse → window → score → decide → alert → sinks.

Each step is a file of its name in `engine/steps/`; `engine/flow/` has what Bytewax needs to run them.
Items are batches, never lines. After the score, drift watches the same windows and tells the coordinator
of federated rounds, and collect keeps windows to learn from.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from engine.flow import streams
from engine.flow.bytewax_steps import DecideStep, DriftStep, ParseStep, ScoreStep, WindowStep
from engine.flow.outputs import Outputs
from engine.flow.worker_context import Context
from engine.steps.alert import AlertWriter
from engine.steps.explain import Explainer


def build(context: Context) -> Dataflow:
    """The flow of one worker process, not yet running."""
    settings = context.settings
    outputs = Outputs(context)
    alerts = AlertWriter(
        settings.alert, settings.region, recent=context.recent, templates=context.templates,
        describe=context.source.describe, clock=context.clock, explain=Explainer(context.models),
        classify=context.classify,
    )  # fmt: skip

    flow = Dataflow("driftline")
    lines = op.input("source", flow, streams.source_of(context))
    parsed = op.stateful_batch("parse", lines, lambda state: ParseStep(context, state))
    good = op.branch("unparsed", parsed, streams.is_parsed)
    keyed = streams.to_windows(good.trues, settings)
    windows = op.stateful_batch("window", keyed, lambda state: WindowStep(context, state))
    timely = op.branch("late", windows, streams.is_windows)
    gathered = op.map("gather", timely.trues, lambda item: (streams.shard_of(item[0], settings), item[1]))
    scored = op.stateful_batch("score", gathered, lambda state: ScoreStep(context, state))
    if (collector := context.collector) is not None:
        op.inspect("collect", scored, lambda _, item: collector.offer(item[1]))
    decided = op.stateful_batch("decide", scored, lambda state: DecideStep(context, state))
    outputs.alerts(op.flat_map("alert", decided, lambda item: [(item[0], r) for r in alerts.records(*item[1])]))
    if settings.drift_events is not None:
        drifted = op.stateful_batch("drift", scored, lambda state: DriftStep(context, state))
        outputs.drift_events(drifted, settings.drift_events)
    outputs.dead_letters(op.merge("rejected", good.falses, timely.falses))
    return flow
