"""Regions in one process, living through a stream of labelled windows: score, watch for drift, learn, swap.

Everything but the transport is what runs in service: the training store, the drift monitor, the
coordinator's decision when a round is due, the round with guard, strategy and gate, and the trainer.
Time is the stream's. A window is scored at its last line by the model that serves then; its label arrives
`label_delay_s` later and may be used from then on, and not before.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.drift.event import DriftEvent
from engine.drift.labelled import LabelCounts
from engine.drift.mistakes import mistakes_of
from engine.drift.monitor import DriftMonitor
from engine.drift.settings import DriftSettings
from engine.drift.vectors import template_vectors
from federation.coordinator.records import RoundTrigger
from federation.coordinator.schedule import Begin, ScheduleSettings, Situation, Wait, decide
from federation.errors import RoundFailedError
from federation.flower.local_grid import LocalGrid
from federation.flower.network import FlowerNetwork
from federation.protocol.records import UNLABELLED, LabelledAnomalies, ModelSpec, Weights
from federation.region.trainer import Trainer
from federation.round.evidence import table
from federation.round.result import Baseline
from federation.round.round import run_round
from federation.round.settings import RoundSettings
from federation.storage.training_store import Label, TrainingSettings, TrainingStore
from models.base import Templates, WindowDetector, Windows
from models.detectors.registry import build
from models.training.scoring import WindowScorer

MODEL = "stream"


@dataclass(frozen=True, slots=True)
class Stream:
    """Labelled windows in the order of their last lines.

    Attributes:
        time_ns: int64 (n,): event time of the last line, ascending.
        begin: Where the stream begins; what lies before was there at the start, with its labels.
    """

    windows: Windows
    labels: NDArray[np.bool_]
    templates: Templates
    keys: tuple[str, ...]
    time_ns: NDArray[np.int64]
    begin: int


@dataclass(frozen=True, slots=True)
class StartingModel:
    """What serves at the start, and from which every version descends."""

    spec: ModelSpec
    weights: Weights
    threshold: float
    f1: float | None = None
    """As on its card."""
    made_with: LabelledAnomalies = UNLABELLED


@dataclass(frozen=True, slots=True)
class Policy:
    """How a fleet learns.

    Attributes:
        drift: None: no monitor.
        schedule: When a round is due; None: never.
        rounds: How it is run; every round adds its number to the seed.
        label_delay_s: From a window's last line to its label.
        tick_s: Stretch of stream time that is worked through at once.
    """

    drift: DriftSettings | None
    schedule: ScheduleSettings | None
    rounds: RoundSettings
    label_delay_s: float
    tick_s: float = 60.0


@dataclass(slots=True)
class Course:
    """What came of it.

    Attributes:
        called: bool (n,): whether a window was called anomalous when it was scored.
        rounds: Of each round: stream time in seconds from the begin, what started it, what came of it.
    """

    called: NDArray[np.bool_]
    rounds: list[tuple[float, str, str]] = field(default_factory=list)
    published: int = 0


class RegionPipeline:
    """One region: its windows, its model, its store, its monitor."""

    def __init__(self, name: str, index: NDArray[np.int64], stream: Stream, policy: Policy, folder: Path) -> None:
        """Takes the windows at `index`; those before the stream's begin go into the store at once."""
        self.name = name
        self._stream = stream
        self._policy = policy
        self._now_ns = int(stream.time_ns[stream.begin])
        settings = TrainingSettings(path=folder / f"{name}.sqlite", label_wait_s=policy.label_delay_s)
        self.store = TrainingStore(settings.path, settings, now_ns=lambda: self._now_ns)
        self.trainer = Trainer(name, self.store, device="cpu", cache=folder / "embeddings")
        self._coming = index[index >= stream.begin]
        self._unlabelled = self._coming
        self._served_ns = self._now_ns
        self._expected = 0.0
        self._scorer: WindowScorer | None = None
        self._monitor: DriftMonitor | None = None
        self._keep(index[index < stream.begin], np.zeros(int((index < stream.begin).sum()), np.float32))
        self._label(index[index < stream.begin])

    def serve(self, detector: WindowDetector, version: int, threshold: float, f1: float | None = None) -> None:
        """Swaps the model in; `f1` is that of its card."""
        detector.learn_templates(self._stream.templates)
        self._scorer = WindowScorer(detector, version, threshold)
        if self._monitor is None and self._policy.drift is not None:
            vectors = template_vectors(detector)
            self._monitor = DriftMonitor(self._policy.drift, self._stream.templates, vectors=vectors)
        self.store.note_service(version, self._now_ns)
        self._served_ns, self._expected = self._now_ns, 0.0 if f1 is None else mistakes_of(f1)

    def advance(self, now_ns: int, called: NDArray[np.bool_]) -> list[RoundTrigger]:
        """Lives up to a time: labels that have arrived, then the windows that ended; the drift that it found."""
        self._now_ns = now_ns
        time_ns = self._stream.time_ns
        arrived, self._unlabelled = _before(self._unlabelled, time_ns, now_ns - int(self._policy.label_delay_s * 1e9))
        self._label(arrived)
        events = self._judge() if len(arrived) else []
        ended, self._coming = _before(self._coming, time_ns, now_ns)
        scorer = self._scorer
        if len(ended) and scorer is not None:
            windows = self._stream.windows.take(ended)
            scores = scorer.score(windows)
            called[ended] = scores >= scorer.threshold
            self._keep(ended, scores)
            if self._monitor is not None:
                events += self._monitor.observe(
                    windows, scores, time_ns[ended], model=MODEL, version=scorer.version, threshold=scorer.threshold
                )
        return [
            RoundTrigger(e.id(self.name, "0"), "drift", self.name, now_ns, e.version, f"{e.detector} in {self.name}")
            for e in events
            if not e.over
        ]

    def _judge(self) -> list[DriftEvent]:
        if self._monitor is None or self._scorer is None:
            return []
        said = self.store.verdicts(self._served_ns, self._served_ns, self._scorer.threshold)
        counts = LabelCounts(said.right, said.wrong, said.found, said.false, said.missed, self._expected)
        return self._monitor.judge(counts, self._now_ns)

    def _keep(self, index: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
        keys = [self._stream.keys[i] for i in index.tolist()]
        if keys:
            self.store.add(
                self._stream.windows.take(index), keys=keys, ids=keys, time_ns=self._stream.time_ns[index],
                scores=scores, templates=self._stream.templates,
            )  # fmt: skip

    def _label(self, index: NDArray[np.int64]) -> None:
        said = [
            Label(self._stream.keys[i], bool(self._stream.labels[i]), "labels", int(self._stream.time_ns[i]))
            for i in index.tolist()
        ]
        self.store.label(said)


class FleetStream:
    """Regions that share a model, and the rounds that renew it."""

    def __init__(
        self, parts: Mapping[str, NDArray[np.int64]], stream: Stream, model: StartingModel, policy: Policy, folder: Path
    ) -> None:
        """Sets every region up with the model; `parts` assigns the windows to regions."""
        logging.getLogger("flwr").setLevel(logging.WARNING)
        self._stream = stream
        self._policy = policy
        self._model = model
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._regions = [RegionPipeline(name, parts[name], stream, policy, folder) for name in sorted(parts)]
        self._triggers: list[RoundTrigger] = []
        self._ended_ns = int(stream.time_ns[stream.begin])
        self.course = Course(np.zeros(len(stream.labels), bool))
        self._served: dict[str, StartingModel] = {}
        self._serve([region.name for region in self._regions])

    def run(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Course:
        """Lives through the whole stream."""
        ticks = list(_ticks(self._stream.time_ns[self._stream.begin :], self._policy))
        for number, now_ns in enumerate(ticks):
            for region in self._regions:
                self._triggers += region.advance(now_ns, self.course.called)
            self._round_if_due(now_ns)
            progress(number + 1, len(ticks))
        for region in self._regions:
            region.store.close()
        return self.course

    def _round_if_due(self, now_ns: int) -> None:
        if self._policy.schedule is None:
            return
        situation = Situation(
            now_ns=now_ns, triggers=tuple(self._triggers), version=self._model.spec.version,
            online=len(self._regions), needed=self._policy.rounds.min_regions, since_ns=self._ended_ns,
            rounds=len(self.course.rounds),
        )  # fmt: skip
        match decide(self._policy.schedule, situation):
            case Wait(stale=stale):
                self._triggers = [t for t in self._triggers if t not in stale]
            case Begin(reason=reason, triggers=triggers):
                self._triggers = [t for t in self._triggers if t not in triggers]
                self._round(now_ns, reason)

    def _round(self, now_ns: int, reason: str) -> None:
        """One round; a candidate serves from the next tick on in the regions that take it."""
        number = len(self.course.rounds)
        model, grid = self._model, LocalGrid({r.name: r.trainer for r in self._regions})
        settings = self._policy.rounds.model_copy(update={"seed": self._policy.rounds.seed + number})
        try:
            result = run_round(
                FlowerNetwork(grid), settings, model.spec, model.weights, model.threshold, round_id=f"round-{number}",
                made_with=model.made_with, kept=self._kept(),
            )  # fmt: skip
            outcome = result.reason
            if result.accepted:
                spec = model.spec.model_copy(update={"version": model.spec.version + 1})
                f1 = table([figures.candidate for figures in result.figures]).get("f1")
                self._model = StartingModel(spec, result.weights, result.threshold, f1, result.known)
                self.course.published += 1
                self._serve([r.name for r in self._regions if result.adopted_by(r.name)])
        except RoundFailedError as error:
            outcome = str(error)
        self._ended_ns = now_ns
        since_s = (now_ns - int(self._stream.time_ns[self._stream.begin])) / 1e9
        self.course.rounds.append((since_s, reason, outcome))
        logging.getLogger(__name__).info("after %.0f s: %s: %s", since_s, reason, outcome)

    def _kept(self) -> list[Baseline]:
        """The earlier versions that regions serve."""
        regions: dict[int, list[str]] = {}
        for name, served in self._served.items():
            if served is not self._model:
                regions.setdefault(served.spec.version, []).append(name)
        return [
            Baseline(frozenset(names), served.weights, served.threshold, served.made_with)
            for names in regions.values()
            for served in (self._served[names[0]],)
        ]

    def _serve(self, names: Sequence[str]) -> None:
        spec = self._model.spec
        for region in self._regions:
            if region.name in names:
                self._served[region.name] = self._model
                detector = build(spec.detector, spec.settings, device="cpu", cache=self._folder / "embeddings")
                detector.load_weights(self._model.weights, spec.extra)
                region.serve(detector, spec.version, self._model.threshold, self._model.f1)


def _before(
    index: NDArray[np.int64], time_ns: NDArray[np.int64], until_ns: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The part of an ascending index whose time has come, and the rest."""
    cut = int(np.searchsorted(time_ns[index], until_ns, side="right"))
    return index[:cut], index[cut:]


def _ticks(time_ns: NDArray[np.int64], policy: Policy) -> Iterator[int]:
    """Ends of the ticks in which a window ends or a label arrives."""
    tick, delay = int(policy.tick_s * 1e9), int(policy.label_delay_s * 1e9)
    numbers = np.unique(np.concatenate([time_ns, time_ns + delay]) // tick)
    yield from ((numbers + 1) * tick).tolist()


def joined(courses: Sequence[Course]) -> Course:
    """Of fleets that share no window: what all of them called, and all their rounds."""
    called = np.logical_or.reduce([c.called for c in courses])
    return Course(called, sorted(r for c in courses for r in c.rounds), sum(c.published for c in courses))
