"""The outputs of the flow: which sinks there are, who writes to which, and what a dead letter becomes."""

from collections.abc import Callable

import bytewax.operators as op
from bytewax.operators import KeyedStream

from connectors.base import Record, Sink
from connectors.channels.base import ChannelSettings
from connectors.dead_letters import to_records
from connectors.registry import SinkSettings, build_sink
from engine.flow.streams import Rejectable, shard_of, shards_of
from engine.flow.worker_context import Context, SinkReports
from engine.records import Rejected
from engine.settings import RegionSettings
from engine.steps.sinks import SinkOutput, try_out
from foundation.extras import require

DEAD_LETTERS = "dead-letters"
DRIFT_EVENTS = "drift-events"
ROLLUP = "counts"


class Outputs:
    """Adds sinks to a flow; all of them report to the same place."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reports = SinkReports(context.telemetry)

    def alerts(self, records: KeyedStream[Record]) -> KeyedStream[Record]:
        """Send alerts to every sink of the region, and pulses (see `engine.flow.budget_step`) to its channels.

        Returns:
            The alerts without the pulses.
        """
        alerts = op.filter("without_pulses", records, lambda item: bool(item[1].id))
        for name, sink in _alert_sinks(self._context).items():
            self._add(name, records if isinstance(sink, ChannelSettings) else alerts, sink)
        return alerts

    def drift_events(self, records: KeyedStream[Record], sink: SinkSettings) -> None:
        """Send drift events to their sink."""
        self._add(DRIFT_EVENTS, records, sink)

    def rollup(self, records: KeyedStream[Record]) -> None:
        """Send counts per minute and template to the SQL store."""
        settings = self._context.settings
        self._add_built(ROLLUP, records, lambda _: _rollup_sink(settings))

    def dead_letters(self, rejected: KeyedStream[Rejectable]) -> None:
        """Send rejected lines to the sink of dead letters."""
        records = op.flat_map("letter", rejected, lambda item: _letters(item[0], item[1], self._context))
        self._add(DEAD_LETTERS, records, self._context.settings.dead_letters)

    def _add(self, name: str, records: KeyedStream[Record], sink: SinkSettings) -> None:
        self._add_built(name, records, lambda shard: build_sink(_for_writer(sink, self._context, shard)))

    def _add_built(self, name: str, records: KeyedStream[Record], build: Callable[[str], Sink]) -> None:
        context = self._context
        output = SinkOutput(
            name, build, shards_of(context.settings), self._reports,
            expired=context.drain.expired, stop=context.drain.requested,
        )  # fmt: skip
        op.output(name, records, output)


def try_sinks(context: Context) -> bool:
    """Wait until every sink of this worker can be opened; False if a stop was requested before."""
    reports, stop = SinkReports(context.telemetry), context.drain.requested
    named = {**_alert_sinks(context), DEAD_LETTERS: context.settings.dead_letters}
    if context.settings.drift_events is not None:
        named[DRIFT_EVENTS] = context.settings.drift_events
    sinks = {name: build_sink(_for_writer(sink, context, "0")) for name, sink in named.items()}
    if context.settings.rollup is not None:
        sinks[ROLLUP] = _rollup_sink(context.settings)
    return all(try_out(name, sink, reports, stop) for name, sink in sinks.items())


def _rollup_sink(settings: RegionSettings) -> Sink:
    rollup, store = settings.rollup, settings.rollup_store
    if rollup is None or store is None:
        raise ValueError("the region has no [rollup] with a database")
    require("sql", "the rollup of counts")
    from connectors.sql_rollup import KeptDays, SqlRollupSink

    return SqlRollupSink(store, KeptDays(rollup.keep_days, rollup.keep_hourly_days, rollup.keep_daily_days))


def _alert_sinks(context: Context) -> dict[str, SinkSettings]:
    """The sinks of alerts by the names that metrics and messages give them."""
    return {f"{i}-{sink.type}": sink for i, sink in enumerate(context.settings.sinks)}


def _for_writer(sink: SinkSettings, context: Context, shard: str) -> SinkSettings:
    """The sink's settings for this worker or shard, if there are several."""
    if context.of == 1 and context.settings.shards == 1:
        return sink
    return sink.for_writer(shard if context.settings.route == "session" else str(context.worker))


def _letters(key: str, item: Rejectable, context: Context) -> list[tuple[str, Record]]:
    if not isinstance(item, Rejected):
        raise TypeError(f"{type(item).__name__} is not a dead letter")
    records = to_records(
        item.letters,
        partition=item.partition,
        region=context.settings.region,
        time_ns=context.clock.wall_ns(),
    )
    return [(shard_of(key, context.settings), record) for record in records]
