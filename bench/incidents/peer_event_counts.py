"""Peer: `event_counts` as the engine runs it with default settings, on sliding windows.

Trained on the windows of the past, all of them taken for normal. What follows is scored and decided with the
engine's own steps; each alert is a window of 20 lines.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from bench.incidents.base import DetectorAlert
from bench.incidents.line_batches import batches
from engine.clock import ManualClock
from engine.records import ScoredWindows, WindowBatch
from engine.steps.decide import Decider, DecideSettings
from engine.steps.parse import Parser, ParseSettings
from engine.steps.window import build_windower
from engine.windows.sliding import SlidingWindows
from models.train_detector import Trained, TrainSettings, train

NAME = "event_counts"


@dataclass(frozen=True, slots=True)
class EventCountsPeer:
    """The detector with its defaults."""

    def learn(self, past: Sequence[str]) -> "EventCountsWatch":
        """Train on the past."""
        windows, templates = _windows(past)
        return EventCountsWatch(train(windows.windows, None, templates, TrainSettings(detector=NAME)))


@dataclass(frozen=True, slots=True)
class EventCountsWatch:
    """A trained version."""

    trained: Trained

    def watch(self, now: Sequence[str]) -> list[DetectorAlert]:
        """Score and decide; the parser starts empty, as after the start of an engine."""
        batch, templates = _windows(now)
        detector = copy.deepcopy(self.trained.detector)
        detector.learn_templates(templates)
        threshold = self.trained.threshold
        scored = ScoredWindows(batch, detector.score(batch.windows), NAME, 1, threshold)
        decisions = Decider(DecideSettings(), templates, sessions_end=False).decide(scored)
        alerts = []
        for decision in decisions:
            first, last = int(batch.first[decision.index]), int(batch.last[decision.index])
            score = float(scored.score[decision.index])
            alerts.append(
                DetectorAlert(range(first, last + 1), last, score, "", f"score {score:.2f}, threshold {threshold:.2f}")
            )
        return alerts


def _windows(lines: Sequence[str]) -> tuple[WindowBatch, dict[int, str]]:
    """The windows of a log, and its templates; the positions of lines are their rows."""
    parser = Parser(ParseSettings(format="auto"), lambda partition, row: f"{partition}:{row}")
    windower = build_windower(SlidingWindows(), ManualClock(0), None)
    parts: list[WindowBatch] = []
    templates: dict[int, str] = {}
    parsed = [parser.parse(batch).good for batch in batches(lines)]
    rest = parser.finish()
    for good in parsed + ([rest.good] if rest is not None else []):
        templates |= good.templates
        done = windower.add(good).windows
        parts += [] if done is None else [done]
    last = windower.close_all()
    return WindowBatch.join(parts + ([] if last is None else [last])), templates


EVENT_COUNTS = EventCountsPeer()
