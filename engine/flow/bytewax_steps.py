"""The steps as Bytewax logics: state, timers and end of stream; the work itself is in each step's file.

A step's key is a source partition before the windows and a shard behind them.
"""

import json
import logging
from dataclasses import replace
from datetime import datetime
from typing import Any

from bytewax.operators import StatefulBatchLogic

from connectors.base import LineBatch
from engine.flow.step import EVERY_TURN, Step, restored
from engine.flow.worker_context import Context
from engine.records import DecidedWindows, ParsedLines, Rejected, ScoredWindows, WindowBatch
from engine.steps.calibrate import StreamThreshold
from engine.steps.decide import Decider
from engine.steps.parse import Parsed, Parser
from engine.steps.score import Gatherer
from engine.steps.silences import Silences
from engine.steps.window import build_windower
from engine.windows.window_base import LateLine
from models.base import template_id

log = logging.getLogger(__name__)

POISONED = "took the worker down each time it was parsed"
"""Reason of the dead letter of such a line."""


class ParseStep(Step[LineBatch, Parsed | Rejected]):
    """Raw lines of one partition → parsed lines, and what could not be parsed."""

    name = "parse"

    def __init__(self, context: Context, snapshot: bytes | None) -> None:
        super().__init__(context)
        self._parser = Parser(context.settings.parse, context.source.describe, restored(snapshot))
        self._read_s = context.clock.monotonic_s()

    def work(self, values: list[LineBatch]) -> list[Parsed | Rejected]:
        """See `Step.work`."""
        self._read_s = self._context.clock.monotonic_s()
        return [item for batch in values for item in self._safely_parsed(batch)]

    def _safely_parsed(self, batch: LineBatch) -> list[Parsed | Rejected]:
        """Parse all lines but those that took the worker down before; see `engine.steps.suspects`."""
        suspects = self._context.suspects
        if suspects is None:
            return self._parsed(batch)
        out: list[Parsed | Rejected] = []
        for part, poisoned in suspects.parts(batch):
            if poisoned:
                out.append(self._reject(part))
            rest = replace(part.lines(0, 0), ends_partition=part.ends_partition) if poisoned else part
            suspects.begin(rest)
            out += self._parsed(rest)
            suspects.end()
        return out

    def _reject(self, batch: LineBatch) -> Rejected:
        """The dead letter of a line that is alone in its batch."""
        self._context.telemetry.metrics.count_bad_lines([POISONED])
        return Rejected((batch.dead_letter(0, POISONED, self._context.source.describe),), batch.partition)

    def _parsed(self, batch: LineBatch) -> list[Parsed | Rejected]:
        if not batch.ends_partition:
            return self._counted(self._parser.parse(batch))
        parsed = self._parser.parse(replace(batch, ends_partition=False))
        rest = self._parser.finish()
        if rest is None:
            return self._counted(_last_of_partition(parsed))
        return [*self._counted(parsed), *self._counted(_last_of_partition(rest))]

    def notify_at(self) -> datetime | None:
        """When to look for work that no item brings."""
        return EVERY_TURN if self._parser.waits else None

    def on_notify(self) -> tuple[list[Parsed | Rejected], bool]:
        """Parses what is held of a record over several lines once no further line has come for a while."""
        waited_s = self._context.clock.monotonic_s() - self._read_s
        parsed = self._parser.flush() if waited_s >= self._context.settings.parse.max_join_wait_s else None
        return [] if parsed is None else self._counted(parsed), StatefulBatchLogic.RETAIN

    def _counted(self, parsed: Parsed) -> list[Parsed | Rejected]:
        if joined := len(parsed.joined) + len(parsed.pieces):
            self._context.telemetry.metrics.joined_lines.inc(joined)
        good = parsed.good
        undated = parsed.undated()
        self._context.telemetry.metrics.undated_lines.inc(undated)
        lines = len(parsed.rows.text) + len(good.bad) - len(parsed.rows.bad)
        self._context.telemetry.input.parsed(lines, undated, (letter.reason for letter in good.bad))
        if not good.bad:
            return [parsed]
        self._context.telemetry.metrics.count_bad_lines(letter.reason for letter in good.bad)
        return [Rejected(good.bad, good.lines.partition), parsed]

    def on_eof(self) -> tuple[list[Parsed | Rejected], bool]:
        """The end of the stream, or of what is read of it before a drain, which ends nothing."""
        parsed = None if self._context.drain.requested.is_set() else self._parser.finish()
        return [] if parsed is None else self._counted(parsed), StatefulBatchLogic.RETAIN

    def state(self) -> bytes:
        """See `Step.state`."""
        return self._parser.snapshot()


def _last_of_partition(parsed: Parsed) -> Parsed:
    good = parsed.good
    return replace(parsed, good=replace(good, lines=replace(good.lines, ends_partition=True)))


class WindowStep(Step[ParsedLines, WindowBatch | Rejected]):
    """Parsed lines of one partition (or shard) → windows, and the lines that came too late."""

    name = "window"

    def __init__(self, context: Context, snapshot: bytes | None) -> None:
        super().__init__(context)
        state = restored(snapshot) or {"windows": None, "templates": ()}
        # Open windows may be due before the next line is: their templates have to be known by then.
        self._texts = {template_id(text): text for text in state["templates"]}
        context.templates.update(self._texts)
        self._windower = build_windower(context.settings.window, context.clock, state["windows"], context.state_folder)
        self._tick_s = min(1.0, context.settings.window.idle_s / 4)
        self._tick_at_s = context.clock.monotonic_s() + self._tick_s
        self._evicted = self._open = 0

    def work(self, values: list[ParsedLines]) -> list[WindowBatch | Rejected]:
        """See `Step.work`."""
        out: list[WindowBatch | Rejected] = []
        for parsed in values:
            # Texts are known before any window that holds them can be scored.
            self._texts.update(parsed.templates)
            self._context.templates.update(parsed.templates)
            result = self._windower.add(parsed)
            self._context.recent.add(parsed, [line.row for line in result.late])
            if result.late:
                out.append(self._late(parsed, result.late))
            if result.windows is not None:
                out.append(result.windows)
        self._count(out)
        return out

    def _late(self, parsed: ParsedLines, late: tuple[LateLine, ...]) -> Rejected:
        self._context.telemetry.metrics.late_lines.inc(len(late))
        self._context.telemetry.input.late(len(late))
        lines, describe = parsed.lines, self._context.source.describe
        letters = tuple(lines.dead_letter(int(parsed.rows[line.row]), line.reason, describe) for line in late)
        return Rejected(letters, lines.partition)

    def _count(self, out: list[WindowBatch | Rejected]) -> None:
        metrics = self._context.telemetry.metrics
        metrics.windows.inc(sum(len(w) for w in out if isinstance(w, WindowBatch)))
        # Several partitions share the gauge, so each adds what has changed since it last did.
        metrics.open_sessions.inc(self._windower.open_windows - self._open)
        self._open = self._windower.open_windows
        metrics.templates.set(len(self._context.templates))
        evicted = self._windower.counters.evicted
        metrics.evicted_sessions.inc(evicted - self._evicted)
        self._evicted = evicted

    def notify_at(self) -> datetime:
        """When to look for work that no item brings."""
        return EVERY_TURN

    def on_notify(self) -> tuple[list[WindowBatch | Rejected], bool]:
        """Does the work that `notify_at` was for."""
        self._context.telemetry.health.progress()  # a process that does not read a source reports progress here
        now_s = self._context.clock.monotonic_s()
        if now_s < self._tick_at_s:
            self._context.pace.idle(self._context.clock)
            return [], StatefulBatchLogic.RETAIN
        self._tick_at_s = now_s + self._tick_s
        return self._emit(self._windower.tick()), StatefulBatchLogic.RETAIN

    def end(self) -> list[WindowBatch | Rejected]:
        """Closes all windows. A drain does not: they stay open and continue after the restart."""
        return self._emit(self._windower.close_all())

    def _emit(self, windows: WindowBatch | None) -> list[WindowBatch | Rejected]:
        out: list[WindowBatch | Rejected] = [] if windows is None else [windows]
        self._count(out)
        return out

    def state(self) -> dict[str, Any]:
        """See `Step.state`."""
        windows = self._windower.snapshot()
        self.file_bytes = self._windower.part_bytes
        return {"windows": windows, "templates": tuple(self._texts.values())}


class ScoreStep(Step[WindowBatch, ScoredWindows]):
    """Windows of one shard → scores."""

    name = "score"

    def __init__(self, context: Context, snapshot: bytes | None) -> None:
        super().__init__(context)
        state = restored(snapshot) or {"waiting": None, "templates": ()}
        # The windows that wait name templates whose text is announced only with the next lines.
        context.templates.update((template_id(text), text) for text in state["templates"])
        self._gatherer = Gatherer(context.settings.score, context.models, context.clock, state["waiting"])
        self._hits = self._misses = 0

    def work(self, values: list[WindowBatch]) -> list[ScoredWindows]:
        """See `Step.work`."""
        return self._observe(self._gatherer.add(values))

    def notify_at(self) -> datetime | None:
        """When to look for work that no item brings."""
        return None if self._gatherer.due_s() is None else EVERY_TURN

    def on_notify(self) -> tuple[list[ScoredWindows], bool]:
        """Does the work that `notify_at` was for."""
        due_s = self._gatherer.due_s()
        out = self._gatherer.flush() if due_s is not None and due_s <= 0.001 else []
        return self._observe(out), StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[list[ScoredWindows], bool]:
        """The end of the stream, or of what is read of it before a drain."""
        return self._observe(self._gatherer.flush()), StatefulBatchLogic.RETAIN

    def _observe(self, out: list[ScoredWindows]) -> list[ScoredWindows]:
        metrics = self._context.telemetry.metrics
        for scored in out:
            metrics.score.observe_all(scored.score)
            metrics.model_version.labels(scored.model).set(scored.version)
            self._context.models.watch(scored)
        if out:
            scorer = self._context.models.get().scorer
            hits, misses = scorer.hits, scorer.misses
            if hits < self._hits or misses < self._misses:  # a new model counts from zero
                self._hits = self._misses = 0
            metrics.score_cache_hits.inc(hits - self._hits)
            metrics.score_cache_misses.inc(misses - self._misses)
            self._hits, self._misses = hits, misses
        return out

    def state(self) -> dict[str, Any]:
        """See `Step.state`."""
        known = self._context.templates
        texts = tuple(known[t] for t in self._gatherer.waiting_templates() if t in known)
        return {"waiting": self._gatherer.snapshot(), "templates": texts}


class DecideStep(Step[ScoredWindows, DecidedWindows]):
    """Scores of one shard → the windows to alert on."""

    name = "decide"

    def __init__(self, context: Context, snapshot: bytes | None) -> None:
        super().__init__(context)
        settings = context.settings.decide
        state = json.loads(restored(snapshot) or "{}")
        calibrate = settings.calibrate and settings.threshold is None
        self._threshold = StreamThreshold(calibrate, context.models.get, state.get("threshold"))
        self._decider = Decider(
            settings,
            context.templates,
            sessions_end=context.settings.window.kind == "session",
            snapshot=json.dumps(state["decider"]).encode() if state else None,
            silences=Silences(
                context.settings.decide.suppress, context.settings.decide.silences, context.clock.monotonic_s
            ),
        )
        self._suppressed = sum(self._decider.suppressed.values())

    def work(self, values: list[ScoredWindows]) -> list[DecidedWindows]:
        """See `Step.work`."""
        out = [self._decided(scored) for scored in values]
        metrics = self._context.telemetry.metrics
        suppressed = sum(self._decider.suppressed.values())
        metrics.suppressed.inc(suppressed - self._suppressed)
        self._suppressed = suppressed
        now_ns = self._context.clock.wall_ns()
        for decided in out:
            produced = decided.scored.batch.produced_ns[[d.index for d in decided.decisions]]
            metrics.latency_seconds.observe_all((now_ns - produced) / 1e9)
        return out

    def _decided(self, scored: ScoredWindows) -> DecidedWindows:
        thresholds = self._decider.thresholds(scored, self._threshold.thresholds(scored))
        return DecidedWindows(scored, scored.score >= thresholds, self._decider.decide(scored, thresholds))

    def state(self) -> bytes:
        """See `Step.state`."""
        threshold = json.dumps(self._threshold.state()).encode()
        return b'{"decider":%b,"threshold":%b}' % (self._decider.snapshot(), threshold)


__all__ = ["DecideStep", "ParseStep", "ScoreStep", "WindowStep"]
