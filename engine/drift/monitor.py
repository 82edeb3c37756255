"""The monitor: scored windows in, drift events out. It does not depend on a stream, a topic or a clock.

1. Complete windows wait until a block of them is full, so the events do not depend on batches.
2. Every statistic takes the block: into its reference, or compared with it (`engine.drift.base`).
3. A statistic that stays at its limit raises its detector (`engine.drift.hysteresis`).
4. The strongest raised detector makes an event, unless the same change was reported a short while ago.
5. When no detector is raised any more, a last event reports the end of the drift.

After a swap of the model, what depends on the model starts again. Statistics of templates keep their reference,
or adopt the present stream as reference if it is a change that was raised: the new version has learnt it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.drift.base import Floats, ReferenceProgress, Setup
from engine.drift.blocks import Blocks, Pending
from engine.drift.event import DriftEvent, TemplateShare
from engine.drift.hysteresis import Trigger
from engine.drift.labelled import LabelCounts, LabelStatistic
from engine.drift.moves import DriftKind, Move, kind_of
from engine.drift.registry import build
from engine.drift.settings import DriftSettings
from engine.drift.status import MonitorStatus
from engine.drift.template_counts import TemplateColumns
from engine.drift.vectors import Vectors
from models.base import Windows

_FORM = 5
"""Form of the state; goes up whenever its content changes, and the reference starts again after an upgrade."""

_WITNESS = "jensen_shannon"
"""The statistic that names the templates of every event."""

_TOGETHER_BLOCKS = 2
"""Blocks within which templates began to change together."""

_TIMES = 512
"""Blocks whose times are kept: how far back the beginning of a change can be named."""


@dataclass(frozen=True, slots=True)
class DetectorReading:
    """One detector as last seen."""

    statistic: float
    threshold: float
    raised: bool


class DriftMonitor:
    """Watches the scored windows of one worker under one model at a time."""

    def __init__(
        self, settings: DriftSettings, templates: Mapping[int, str], *, vectors: Vectors | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Starts without a reference, or continues from what `snapshot` returned.

        Args:
            settings: See `DriftSettings`.
            templates: The text of every template id in the windows to come; read when an id first appears.
            vectors: The encoder's vectors of templates; without them the detector `mmd` rests.
            state: To continue from; ignored if it was made under other settings, or in another form.
        """
        self._settings = settings
        self._templates = templates
        self._vectors = vectors
        self._threshold = 0.0
        self._model: tuple[str, int] | None = None
        self._columns = TemplateColumns(templates)
        self._pending = Pending(settings.block_windows, self._columns)
        self._setup = Setup(settings, self._encode)
        # The witness watches even where it is not a detector of its own.
        self._statistics = {name: build(name, self._setup) for name in dict.fromkeys((*settings.detectors, _WITNESS))}
        self._triggers: dict[str, Trigger] = {name: Trigger() for name in settings.detectors}
        self._times: list[int] = []  # when the latest blocks began, ns
        self._started: tuple[int, int] | None = None  # event time of the first block and blocks so far
        self._since_event: int | None = None
        self._last: DriftEvent | None = None  # of the drift that is going on
        self._reported: set[int] = set()  # templates named by its events
        self._labels = LabelCounts()
        if state is not None and (state.get("form"), state["settings"]) == (_FORM, settings.model_dump()):
            self._restore(state)

    def _encode(self, start: int, stop: int) -> NDArray[np.float32]:
        ids = np.array([self._columns.template(i) for i in range(start, stop)], np.int64)
        return np.zeros((len(ids), 0), np.float32) if self._vectors is None else self._vectors(ids)

    @property
    def ready(self) -> bool:
        """Whether templates have verdicts."""
        return self._statistics[_WITNESS].progress.ready

    def status(self) -> MonitorStatus:
        """The status for operators."""
        width, waiting = self._settings.block_windows, len(self._pending)
        statistics = {name: self._statistics[name] for name in self._settings.detectors}
        references = {
            name: ReferenceProgress(
                min(s.progress.blocks * width + waiting, s.progress.needed * width), s.progress.needed * width
            )
            if not s.progress.ready
            else ReferenceProgress(s.progress.blocks * width, s.progress.needed * width)
            for name, s in statistics.items()
        }
        rate = 0.0
        if self._started is not None and self._times and self._times[-1] > self._started[0]:
            rate = (self._started[1] - 1) * width * 1e9 / (self._times[-1] - self._started[0])
        return MonitorStatus(
            references, rate, tuple(name for name, s in statistics.items() if s.blind),
            tuple(name for name, trigger in self._triggers.items() if trigger.raised),
        )  # fmt: skip

    def readings(self) -> dict[str, DetectorReading]:
        """Every detector in use, as it was at the last block."""
        return {name: DetectorReading(t.statistic, t.threshold, t.raised) for name, t in self._triggers.items()}

    def observe(
        self, windows: Windows, scores: NDArray[np.float32], time_ns: NDArray[np.int64],
        *, model: str, version: int, threshold: float, wait: bool = False,
    ) -> list[DriftEvent]:  # fmt: skip
        """Adds windows as they were scored; returns the events that are due.

        Args:
            windows: Growth steps among them are skipped.
            scores: float32 (n,).
            time_ns: int64 (n,): event time of each window's last line.
            model: Name of the model that scored them.
            version: Its version.
            threshold: From which a window is anomalous.
            wait: Whether full blocks may wait for more of them: a look costs nearly the same for one block and
                for twenty, and the events do not depend on how many are looked at together.
        """
        events: list[DriftEvent] = []
        if self._model != (model, version):
            events = self.look()
            self._swap((model, version))
        self._threshold = threshold
        self._pending.add(windows, scores, time_ns, threshold)
        return events if wait else events + self.look()

    def look(self) -> list[DriftEvent]:
        """Checks the full blocks that wait; returns the events that are due."""
        blocks = self._pending.full(self._threshold)
        return [] if blocks is None else self._take(blocks)

    def judge(self, counts: LabelCounts, time_ns: int) -> list[DriftEvent]:
        """Takes the labels that arrived for the model in service; returns the event that is due, if any.

        Args:
            counts: All of them since the model went into service.
            time_ns: Event time up to which windows were scored.
        """
        if counts == self._labels:
            return []
        self._labels = counts
        for name, statistic in self._of_labels().items():
            value = statistic.judge(counts)
            self._triggers[name].see(value, statistic.limit, time_ns, confirm=1, release=self._settings.release)
        return self._due(time_ns, -1)

    def _of_labels(self) -> dict[str, LabelStatistic]:
        return {name: s for name, s in self._statistics.items() if isinstance(s, LabelStatistic)}

    def snapshot(self) -> dict[str, Any]:
        """The state as plain data that nothing changes later."""
        return {
            "form": _FORM,
            "settings": self._settings.model_dump(),
            "model": self._model,
            "threshold": self._threshold,
            "since_event": self._since_event,
            "times": list(self._times),
            "started": self._started,
            "last": self._last,
            "reported": sorted(self._reported),
            "labels": self._labels,
            "columns": self._columns.known(),
            "pending": self._pending.state(),
            "statistics": {name: statistic.state() for name, statistic in self._statistics.items()},
            "triggers": {name: trigger.state() for name, trigger in self._triggers.items()},
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._model = state["model"]
        self._threshold, self._since_event = state["threshold"], state["since_event"]
        self._times, self._started = list(state["times"]), state["started"]
        self._last, self._reported, self._labels = state["last"], set(state["reported"]), state["labels"]
        self._columns = TemplateColumns(self._templates, state["columns"])
        self._pending = Pending(self._settings.block_windows, self._columns, state["pending"])
        for name, statistic in self._statistics.items():
            statistic.restore(state["statistics"][name])
        self._triggers = {name: Trigger(*stood) for name, stood in state["triggers"].items()}

    def _swap(self, model: tuple[str, int]) -> None:
        """Another model, or another version of it, is in service."""
        first, self._model = self._model is None, model
        if first:
            return
        for name, statistic in self._statistics.items():
            trigger = self._triggers.get(name)
            if statistic.watches == "templates":
                statistic.swapped(raised=trigger is not None and trigger.raised)
            else:
                self._statistics[name] = build(name, self._setup)
            if name in self._triggers:
                self._triggers[name] = Trigger()
        self._since_event, self._last, self._reported, self._labels = None, None, set(), LabelCounts()

    def _take(self, blocks: Blocks) -> list[DriftEvent]:
        """Steps 2 to 5 for every block, all of them at once as far as that is possible."""
        starts = blocks.time_ns[:, 0].tolist()
        first, seen = self._started or (starts[0], 0)
        self._started = first, seen + len(blocks)
        # Sums over more or fewer columns differ in their last bits, and batches must not decide the events.
        values = {name: np.round(s.update(blocks), 9) for name, s in self._statistics.items()}
        if self._all_calm(values):
            # Almost always, checking the last block has the same result as checking each.
            self._times = [*self._times, *starts][-_TIMES:]
            self._see({name: float(found[-1]) for name, found in values.items()}, len(blocks) - 1, len(blocks))
            return []
        events: list[DriftEvent] = []
        for i, start_ns in enumerate(starts):
            self._times = [*self._times, start_ns][-_TIMES:]
            self._see({name: float(found[i]) for name, found in values.items()}, i)
            events += self._due(int(blocks.time_ns[i, -1]), i)
        return events

    def _all_calm(self, values: dict[str, Floats]) -> bool:
        """Whether no detector is raised or on its way, and none of these blocks changes that."""
        calm = self._last is None and all(trigger.calm for trigger in self._triggers.values())
        return calm and all(values[name].max() < self._statistics[name].limit for name in self._triggers)

    def _see(self, values: dict[str, float], block: int, blocks: int = 1) -> None:
        """Step 3 for one block; also counts the windows of all that it represents, for the cool-down."""
        if self._since_event is not None:
            self._since_event += self._settings.block_windows * blocks
        for name, trigger in self._triggers.items():
            statistic = self._statistics[name]
            if statistic.confirm_at_once or statistic.blind:  # blocks are not judgements; blind ones have no value
                continue
            moves = statistic.moves_at(block)
            since_ns = self._times[-min(max(1, moves[0].blocks if moves else 1), len(self._times))]
            trigger.see(
                values[name], statistic.limit, since_ns,
                confirm=self._settings.confirm_blocks, release=self._settings.release,
            )  # fmt: skip

    def _due(self, time_ns: int, block: int) -> list[DriftEvent]:
        """Steps 4 and 5: at most one event, as of a block of the last look."""
        raised = {name: trigger for name, trigger in self._triggers.items() if trigger.raised}
        if self._model is None:
            return []
        if not raised:
            return self._over(time_ns)
        name = max(raised, key=lambda n: raised[n].statistic / raised[n].threshold)
        moves = self._moves(name, block)
        named = {self._columns.template(move.column) for move in moves}
        if self._since_event is not None:
            windows = self._settings.current_blocks * self._settings.block_windows
            fresh = any(statistic.fresh for n, statistic in self._of_labels().items() if n in raised)
            same = self._last is not None and (not moves or self._columns.template(moves[0].column) in self._reported)
            if not fresh and self._since_event < (self._settings.cooldown_windows if same else windows):
                return []
        self._since_event = 0
        for statistic in self._of_labels().values():
            statistic.reported()
        self._reported |= named
        self._last = self._event(name, raised, time_ns, moves)
        return [self._last]

    def _event(self, name: str, raised: dict[str, Trigger], time_ns: int, moves: Sequence[Move]) -> DriftEvent:
        trigger, statistic = raised[name], self._statistics[name]
        assert self._model is not None
        others = {n: {"statistic": t.statistic, "threshold": t.threshold} for n, t in raised.items() if n != name}
        of_labels = {"labels": asdict(self._labels)} if isinstance(statistic, LabelStatistic) else {}
        windows = (moves[0].blocks if moves else self._settings.current_blocks) * self._settings.block_windows
        return DriftEvent(
            "drift", name, trigger.statistic, trigger.threshold, trigger.since_ns, time_ns,
            statistic.count() if isinstance(statistic, LabelStatistic) else windows, *self._model,
            tuple(self._share(move) for move in moves[: self._settings.max_templates]),
            {"others": others, **of_labels}, self._kind(name, moves),
        )  # fmt: skip

    def _over(self, time_ns: int) -> list[DriftEvent]:
        """The event that ends a reported drift."""
        if self._last is None:
            return []
        trigger = self._triggers[self._last.detector]
        ended = replace(
            self._last, statistic=trigger.statistic, threshold=trigger.threshold, time_ns=time_ns, over=True
        )
        self._last, self._reported = None, set()
        return [ended]

    def _moves(self, name: str, block: int) -> tuple[Move, ...]:
        """The templates that a detector's event names: its own, or else the witness's."""
        witness = self._statistics[_WITNESS]
        found = self._statistics[name].moves_at(block) or witness.moves_at(block)
        return tuple(move for move in found if _belongs(move, found[0]))

    def _kind(self, name: str, moves: Sequence[Move]) -> DriftKind:
        watches = self._statistics[name].watches
        if watches in ("scores", "labels"):
            return watches
        return kind_of(moves, {move.column: self._columns.text(move.column) for move in moves})

    def _share(self, move: Move) -> TemplateShare:
        column, usual, now = move.column, round(move.usual, 9), round(move.now, 9)
        return TemplateShare(self._columns.template(column), self._columns.text(column), usual, now)


def _belongs(move: Move, largest: Move) -> bool:
    """Whether a template is named next to that of the largest move: it is nearly as large, or began with it."""
    return abs(move.blocks - largest.blocks) <= _TOGETHER_BLOCKS or 2 * move.divergence >= largest.divergence
