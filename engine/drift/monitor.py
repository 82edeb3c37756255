"""The monitor: scored windows in, drift events out. It knows no stream, no topic and no clock.

1. Complete windows wait until a block of them is full, so the events do not depend on batches.
2. Every statistic learns its reference from the first blocks under a model.
3. Each later block gives one value of each statistic (`engine.drift.base`).
4. A statistic that stays at its limit raises its detector (`engine.drift.hysteresis`).
5. The strongest raised detector makes an event, unless there was one a short while ago.

Another model, or another version of it, starts again at 1: the new model has learnt what was drift before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.drift.base import Floats, Setup
from engine.drift.blocks import Blocks, Pending
from engine.drift.carriers import Carriers
from engine.drift.event import DriftEvent
from engine.drift.hysteresis import Trigger
from engine.drift.precision import Precision
from engine.drift.registry import build
from engine.drift.settings import DriftSettings
from engine.drift.template_counts import Counts, TemplateColumns
from engine.drift.vectors import Vectors
from models.base import Windows

_FORM = 3
"""Form of the state; goes up whenever its content changes, and the reference starts again after an upgrade."""


@dataclass(frozen=True, slots=True)
class Reading:
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
        self._since_event: int | None = None
        self._start(None)
        if state is not None and (state.get("form"), state["settings"]) == (_FORM, settings.model_dump()):
            self._restore(state)

    def _start(self, model: tuple[str, int] | None) -> None:
        """Starts a new reference."""
        self._model = model
        self._columns = TemplateColumns(self._templates)
        self._pending = Pending(self._settings.block_windows, self._columns)
        self._learnt = 0
        setup = Setup(self._settings, self._encode)
        self._statistics = {name: build(name, setup) for name in self._settings.detectors}
        self._carriers = Carriers(self._settings)
        self._triggers: dict[str, Trigger] = {name: Trigger() for name in self._settings.detectors}

    def _encode(self, start: int, stop: int) -> NDArray[np.float32]:
        ids = np.array([self._columns.template(i) for i in range(start, stop)], np.int64)
        return np.zeros((len(ids), 0), np.float32) if self._vectors is None else self._vectors(ids)

    @property
    def ready(self) -> bool:
        """Whether there is a reference."""
        return self._learnt == self._settings.warmup_blocks

    def readings(self) -> dict[str, Reading]:
        """Every detector in use, as it was at the last block."""
        return {name: Reading(t.statistic, t.threshold, t.raised) for name, t in self._triggers.items()}

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
            self._start((model, version))
        self._threshold = threshold
        self._pending.add(windows, scores, time_ns, threshold)
        return events if wait else events + self.look()

    def look(self) -> list[DriftEvent]:
        """Looks at the full blocks that wait; returns the events that are due."""
        blocks = self._pending.full(self._threshold)
        if blocks is None:
            return []
        start = min(self._settings.warmup_blocks - self._learnt, len(blocks))
        if start:
            self._learn(blocks.part(0, start))
        return self._compare(blocks.part(start, len(blocks))) if start < len(blocks) else []

    def judge(self, right: int, wrong: int, time_ns: int) -> list[DriftEvent]:
        """Adds operators' judgements on the model's alerts since the last call; returns the event that is due, if any.

        Args:
            right: Alerts that were right.
            wrong: Alerts that were not.
            time_ns: Event time up to which windows were scored.
        """
        precision = self._statistics.get("precision")
        if not isinstance(precision, Precision) or not (right or wrong):
            return []
        value = precision.judge(right, wrong)
        self._triggers["precision"].see(value, precision.limit, time_ns, confirm=1, release=self._settings.release)
        return self._due(time_ns, None)

    def snapshot(self) -> dict[str, Any]:
        """The state as plain data that nothing changes later."""
        return {
            "form": _FORM,
            "settings": self._settings.model_dump(),
            "model": self._model,
            "threshold": self._threshold,
            "since_event": self._since_event,
            "learnt": self._learnt,
            "columns": self._columns.known(),
            "pending": self._pending.state(),
            "statistics": {name: statistic.state() for name, statistic in self._statistics.items()},
            "carriers": self._carriers.state(),
            "triggers": {name: trigger.state() for name, trigger in self._triggers.items()},
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._start(state["model"])
        self._threshold, self._since_event = state["threshold"], state["since_event"]
        self._learnt = state["learnt"]
        self._columns = TemplateColumns(self._templates, state["columns"])
        self._pending = Pending(self._settings.block_windows, self._columns, state["pending"])
        for name, statistic in self._statistics.items():
            statistic.restore(state["statistics"][name])
        self._carriers.restore(state["carriers"])
        self._triggers = {name: Trigger(*stood) for name, stood in state["triggers"].items()}

    def _learn(self, blocks: Blocks) -> None:
        """Step 2."""
        self._learnt += len(blocks)
        self._carriers.learn(blocks)
        for statistic in self._statistics.values():
            statistic.learn(blocks)

    def _compare(self, blocks: Blocks) -> list[DriftEvent]:
        """Steps 3 to 5 for every block, all of them at once as far as that is possible."""
        # Sums over more or fewer columns differ in their last bits, and batches must not decide the events.
        values = {name: np.round(s.update(blocks), 9) for name, s in self._statistics.items()}
        current = self._carriers.update(blocks)
        if self._all_calm(values):
            # Nearly always: a look at the last block has the same result as a look at each.
            self._see({name: float(found[-1]) for name, found in values.items()}, blocks.time_ns[-1], len(blocks))
            return []
        events: list[DriftEvent] = []
        for i in range(len(blocks)):
            self._see({name: float(found[i]) for name, found in values.items()}, blocks.time_ns[i])
            events += self._due(int(blocks.time_ns[i, -1]), current[i])
        return events

    def _all_calm(self, values: dict[str, Floats]) -> bool:
        """Whether no detector is raised or on its way, and none of these blocks changes that."""
        calm = all(trigger.calm for trigger in self._triggers.values())
        return calm and all(found.max() < self._statistics[name].limit for name, found in values.items())

    def _see(self, values: dict[str, float], time_ns: NDArray[np.int64], blocks: int = 1) -> None:
        """Step 4 for one block; also counts the windows of all that it stands for, for the cool-down."""
        if self._since_event is not None:
            self._since_event += self._settings.block_windows * blocks
        for name, value in values.items():
            statistic = self._statistics[name]
            if not statistic.confirm_at_once:  # else only new evidence counts, and blocks bring none
                self._triggers[name].see(
                    value, statistic.limit, int(time_ns[0]),
                    confirm=self._settings.confirm_blocks, release=self._settings.release,
                )  # fmt: skip

    def _due(self, time_ns: int, counts: Counts | None) -> list[DriftEvent]:
        """Step 5: at most one event. `counts` are the windows that hold each template now, those last seen if None."""
        raised = {name: trigger for name, trigger in self._triggers.items() if trigger.raised}
        resting = self._since_event is not None and self._since_event < self._settings.cooldown_windows
        if not raised or resting or self._model is None:
            return []
        self._since_event = 0
        name = max(raised, key=lambda n: raised[n].statistic / raised[n].threshold)
        trigger, statistic = raised[name], self._statistics[name]
        windows = self._settings.current_blocks * self._settings.block_windows
        others = {n: {"statistic": t.statistic, "threshold": t.threshold} for n, t in raised.items() if n != name}
        event = DriftEvent(
            "drift", name, trigger.statistic, trigger.threshold, trigger.since_ns, time_ns,
            statistic.count() if isinstance(statistic, Precision) else windows, *self._model,
            self._carriers.of(counts, self._columns), {"others": others},
        )  # fmt: skip
        return [event]
