"""The monitor: scored windows in, drift events out. It knows no stream, no topic and no clock.

1. Complete windows wait until a block of them is full, so what is told does not depend on batches.
2. The first blocks under a model make the reference and the thresholds (`engine.drift.reference`).
3. Every later block gives one value of each statistic over the last blocks.
4. A statistic that stays at its threshold raises its detector (`engine.drift.hysteresis`).
5. The strongest raised detector makes an event, unless one was made a short while ago.

Another model, or another version of it, starts again at 1: what was drift is what the new one learnt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.drift.blocks import SAMPLE_SHARE, Blocks, Pending
from engine.drift.comparison import Watch
from engine.drift.distribution import jensen_shannon, psi
from engine.drift.embedding import Vectors, squared_distance
from engine.drift.event import DriftEvent, TemplateShare
from engine.drift.hysteresis import Trigger
from engine.drift.precision import JudgedAlerts
from engine.drift.reference import Recent, Reference, WarmUp, complete
from engine.drift.scores import prepare
from engine.drift.settings import DriftSettings
from engine.drift.template_counts import Counts, TemplateColumns, widened
from models.base import Windows

_FORM = 2
"""Of snapshots; goes up whenever their content changes, and the watch begins anew after an upgrade."""


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
        """Starts without a reference, or goes on from what `snapshot` gave.

        Args:
            settings: See `DriftSettings`.
            templates: The text of every template id in the windows to come; read when an id first appears.
            vectors: The encoder's vectors of templates; without them the detector `mmd` rests.
            state: To go on from; passed over if it was made under other settings, or in another form.
        """
        self._settings = settings
        self._templates = templates
        self._vectors = vectors if "mmd" in settings.detectors else None
        self._model: tuple[str, int] | None = None
        self._threshold = 0.0
        self._since_event: int | None = None
        if {"adwin", "kswin"} & set(settings.detectors):
            prepare()
        self._start(None)
        if state is not None and (state.get("form"), state["settings"]) == (_FORM, settings.model_dump()):
            self._restore(state)

    def _start(self, model: tuple[str, int] | None) -> None:
        """Begins a new reference."""
        self._model = model
        self._columns = TemplateColumns(self._templates)
        self._pending = Pending(self._settings.block_windows, self._columns)
        self._warm = WarmUp()
        self._watch: Watch | None = None
        self._judged = JudgedAlerts(self._settings.judged)
        self._triggers: dict[str, Trigger] = {name: Trigger() for name in self._settings.detectors}

    @property
    def _windows(self) -> int:
        """Windows that a statistic is over."""
        return self._settings.current_blocks * self._settings.block_windows

    @property
    def ready(self) -> bool:
        """Whether there is a reference."""
        return self._watch is not None

    def readings(self) -> dict[str, Reading]:
        """Every detector in use, as it was at the last block."""
        return {name: Reading(t.statistic, t.threshold, t.raised) for name, t in self._triggers.items()}

    def observe(
        self, windows: Windows, scores: NDArray[np.float32], time_ns: NDArray[np.int64],
        *, model: str, version: int, threshold: float, wait: bool = False,
    ) -> list[DriftEvent]:  # fmt: skip
        """Takes windows as they were scored; the events that are due.

        Args:
            windows: Growth steps among them are passed over.
            scores: float32 (n,).
            time_ns: int64 (n,): event time of each window's last line.
            model: Name of the model that scored them.
            version: Its version.
            threshold: From which a window is anomalous.
            wait: Whether full blocks may wait for more of them: a look costs nearly the same for one block and
                for twenty, and what is told does not depend on how many are looked at together.
        """
        events: list[DriftEvent] = []
        if self._model != (model, version):
            events = self.look()
            self._start((model, version))
        self._threshold = threshold
        self._pending.add(windows, scores, time_ns)
        return events if wait else events + self.look()

    def look(self) -> list[DriftEvent]:
        """Looks at the full blocks that wait; the events that are due."""
        blocks = self._pending.full()
        return [] if blocks is None else self._take(blocks)

    def judge(self, right: int, wrong: int, time_ns: int) -> list[DriftEvent]:
        """Takes what operators said of the model's alerts since the last call; the event that is due, if one is.

        Args:
            right: Alerts that were right.
            wrong: Alerts that were not.
            time_ns: Event time up to which windows were scored.
        """
        statistic = self._judged.add(right, wrong)
        trigger = self._triggers.get("precision")
        if trigger is None or not (right or wrong):
            return []
        trigger.see(statistic, self._settings.precision, time_ns, confirm=1, release=self._settings.release)
        return self._due(time_ns, None)

    def snapshot(self) -> dict[str, Any]:
        """The state as plain data that nothing changes later."""
        return {
            "form": _FORM,
            "settings": self._settings.model_dump(),
            "model": self._model,
            "threshold": self._threshold,
            "since_event": self._since_event,
            "columns": self._columns.known(),
            "pending": self._pending.snapshot(),
            "warm": self._warm.snapshot(),
            "watch": None if self._watch is None else self._watch.snapshot(),
            "judged": list(self._judged.judgements),
            "triggers": {name: trigger.state() for name, trigger in self._triggers.items()},
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._model, self._threshold, self._since_event = state["model"], state["threshold"], state["since_event"]
        self._columns = TemplateColumns(self._templates, state["columns"])
        self._pending = Pending(self._settings.block_windows, self._columns, state["pending"])
        self._warm = WarmUp.restored(state["warm"])
        self._watch = None if state["watch"] is None else Watch.restored(state["watch"], self._settings)
        self._judged = JudgedAlerts(self._settings.judged, state["judged"])
        self._triggers = {name: Trigger(*stood) for name, stood in state["triggers"].items()}

    def _take(self, blocks: Blocks) -> list[DriftEvent]:
        start = 0
        if self._watch is None:
            start = min(self._settings.warmup_blocks - len(self._warm), len(blocks))
            self._warm.add(blocks.part(0, start), len(self._columns))
            if len(self._warm) == self._settings.warmup_blocks:
                self._watch = self._begin()
        if self._watch is None or start == len(blocks):
            return []
        return self._compare(self._watch, blocks.part(start, len(blocks)))

    def _begin(self) -> Watch:
        made = complete(self._warm, self._settings, self._columns, self._vectors, self._threshold)
        self._warm = WarmUp()
        return Watch.begin(*made, self._settings)

    def _compare(self, watch: Watch, blocks: Blocks) -> list[DriftEvent]:
        """Steps 3 to 5 for every block, all of them at once as far as that goes."""
        reference, settings = watch.reference, self._settings
        keep = settings.current_blocks
        columns = len(self._columns)
        known = widened(reference.counts[None], columns)[0]
        sampled = blocks.scores[:, ::SAMPLE_SHARE]
        recent = Recent(
            np.concatenate([widened(watch.recent.counts, columns), blocks.counts(columns)]),
            np.concatenate([watch.recent.novelty, blocks.share_with(known == 0)]),
            np.concatenate([watch.recent.scores, reference.bins.counts(sampled)]),
            np.concatenate([watch.recent.features, self._features(watch, blocks)]),
        )
        watch.recent = Recent(
            recent.counts[-keep:], recent.novelty[-keep:], recent.scores[-keep:], recent.features[-keep:]
        )
        counts = _rolling(recent.counts, keep)
        means = reference.margin.of(blocks.scores).mean(1).tolist()
        distances = reference.bins.distance(_rolling(recent.scores, keep)).tolist()
        statistics = {
            "novelty": _rolling(recent.novelty, keep) / keep,
            "jensen_shannon": jensen_shannon(known / reference.windows, counts / self._windows).max(1),
            "psi": psi(known, counts),
            "mmd": squared_distance(_rolling(recent.features, keep) / keep, reference.mean_features),
            "adwin": np.array([watch.mean.add(mean) for mean in means]),
            "kswin": np.array(list(map(watch.shape.add, sampled.tolist(), distances))),
        }
        # Sums over more or fewer columns differ in their last bits, and batches must not decide what is told.
        rounded = {name: np.round(values, 9).tolist() for name, values in statistics.items()}
        if self._all_calm(reference, rounded):
            # Nearly always: one look at the last block says as much as a look at each.
            self._see(
                reference, {name: values[-1] for name, values in rounded.items()}, blocks.time_ns[-1], len(blocks)
            )
            return []
        events: list[DriftEvent] = []
        for i in range(len(blocks)):
            self._see(reference, {name: values[i] for name, values in rounded.items()}, blocks.time_ns[i])
            events += self._due(int(blocks.time_ns[i, -1]), counts[i])
        return events

    def _features(self, watch: Watch, blocks: Blocks) -> NDArray[np.float64]:
        features = watch.reference.features
        if features is None or self._vectors is None:
            return np.zeros((len(blocks), 1))
        if features.learnt < len(self._columns):
            new = [self._columns.template(i) for i in range(features.learnt, len(self._columns))]
            features.learn(self._vectors(np.array(new, np.int64)))
        return features.mean(*blocks.lines_of(blocks.sampled()), len(blocks))

    def _all_calm(self, reference: Reference, statistics: dict[str, list[float]]) -> bool:
        """Whether no detector is raised or on its way, and none of these blocks changes that."""
        calm = all(trigger.calm for trigger in self._triggers.values())
        return calm and all(max(values) < reference.thresholds[name] for name, values in statistics.items())

    def _see(
        self, reference: Reference, statistics: dict[str, float], time_ns: NDArray[np.int64], blocks: int = 1
    ) -> None:
        """Step 4 for one block; also counts the windows of all that it stands for, for the cool-down."""
        if self._since_event is not None:
            self._since_event += self._settings.block_windows * blocks
        for name, trigger in self._triggers.items():
            if name in statistics:
                trigger.see(
                    statistics[name], reference.thresholds[name], int(time_ns[0]),
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
        trigger = raised[name]
        if counts is None and self._watch is not None:
            counts = self._watch.recent.counts.sum(0)
        others = {n: {"statistic": t.statistic, "threshold": t.threshold} for n, t in raised.items() if n != name}
        event = DriftEvent(
            "drift", name, trigger.statistic, trigger.threshold, trigger.since_ns, time_ns,
            self._judged.count() if name == "precision" else self._windows, *self._model,
            self._carriers(counts), {"others": others},
        )  # fmt: skip
        return [event]

    def _carriers(self, counts: Counts | None) -> tuple[TemplateShare, ...]:
        """The templates that carry most of the change from the reference, the first most."""
        if counts is None or self._watch is None:
            return ()
        known = widened(self._watch.reference.counts[None], len(counts))[0]
        before, now = known / self._watch.reference.windows, counts / self._windows
        parts = jensen_shannon(before, now)
        order = np.argsort(-parts, kind="stable")[: self._settings.max_templates]
        return tuple(
            TemplateShare(self._columns.template(i), self._columns.text(i), float(before[i]), float(now[i]))
            for i in order.tolist()
            if parts[i] > 0
        )


def _rolling(values: NDArray[Any], width: int) -> NDArray[Any]:
    """Sums of the last `width` rows at each row from number `width` on; (n - width, …)."""
    sums = np.cumsum(values, axis=0)
    found: NDArray[Any] = sums[width:] - sums[:-width]
    return found
