"""Shadow scoring: a new version is compared on live windows before it is activated, and for a while after.

Continues after `engine.serving.hot_swap` has loaded and tried a version:

5. The candidate scores the next windows in parallel to the model in service; its scores are not used. If they are
   not finite, or its alert rate is significantly higher, it is rejected and the model in service stays.
6. One reference is set, between two batches: no window is lost or scored twice.
7. Now the old model shadows the new one. If the new one finds significantly more windows anomalous than the old one
   on the same windows, or operators rate most of its alerts as wrong, the reference is set back, and a `regression`
   event reports it.
8. A version that was refused or rolled back is not tried again before the pointer has named another one, not even
   after a restart: the version before it serves (`engine.serving.rejected_versions`).

If the store itself goes back to the old version, that is followed at once. A restart ends a comparison: a version
that had not been refused by then goes into service without a shadow.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.drift.event import DriftEvent
from engine.drift.precision import surely
from engine.records import ScoredWindows
from engine.serving.hot_swap import Follower, ServingModel
from engine.serving.rejected_versions import RejectedVersion, RejectedVersions
from models.base import ModelError, Windows

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShadowRules:
    """When a new version may stay.

    Attributes:
        windows: Windows of each of the two comparisons; 0 compares nothing.
        factor, margin: See `ModelSettings`.
        wrong_share: A version is rolled back if the share of wrong alerts is significantly higher than this.
        threshold: What takes the place of every model's own threshold; None: nothing does.
    """

    windows: int = 0
    factor: float = 2.0
    margin: float = 0.01
    wrong_share: float = 0.5
    threshold: float | None = None

    def limit(self, other_rate: float) -> float:
        """Alert rate that is too high next to another model's."""
        return self.factor * other_rate + self.margin


@dataclass(slots=True)
class Comparison:
    """Two models on the same windows: how many each found anomalous."""

    windows: int = 0
    new: int = 0
    old: int = 0
    since_ns: int = 0

    def add(self, new: int, old: int, batch: ScoredWindows) -> None:
        """Counts a batch."""
        if not self.windows:
            self.since_ns = int(batch.batch.last_ns[0])
        self.windows += len(batch.batch)
        self.new += new
        self.old += old

    def least(self) -> float:
        """Lower bound of the share of windows that the new model finds anomalous; low for few windows."""
        return surely(self.new, self.windows)

    def rates(self) -> tuple[float, float]:
        """Share of the windows that the new and the old model found anomalous."""
        return self.new / max(self.windows, 1), self.old / max(self.windows, 1)


class ModelFollower(Follower[ServingModel]):
    """Follows the detector that scores windows; `watch` and `judge` are called by the flow's thread only."""

    def __init__(
        self, pointer: Callable[[], int | None], load: Callable[[int], ServingModel],
        report: Callable[[str, int, str], None], rules: ShadowRules | None = None,
        rejected_versions: RejectedVersions | None = None,
    ) -> None:  # fmt: skip
        """See `Follower`; without rules a version takes over at once, without memory a restart forgets step 8."""
        super().__init__(pointer, load, report)
        self._rules = rules or ShadowRules()
        self._lock = threading.RLock()  # between the flow's thread and the one that examines the store
        self._candidate: tuple[ServingModel, Comparison] | None = None
        self._previous: ServingModel | None = None
        self._probation: Comparison | None = None
        self._rejected = rejected_versions or RejectedVersions()
        self._judged: dict[int, tuple[int, int]] = {}
        self._regressions: deque[DriftEvent] = deque(maxlen=16)

    def watch(self, scored: ScoredWindows) -> None:
        """Takes a batch as it was scored in service: steps 5 to 7. The next batch may be another model's."""
        if (self._candidate is None and self._probation is None) or not len(scored.batch):
            return
        with self._lock:
            if self._candidate is not None:
                self._shadow(*self._candidate, scored)
            elif self._probation is not None and self._previous is not None:
                self._look_back(self._previous, self._probation, scored)

    def judge(self, version: int, right: int, wrong: int, time_ns: int) -> None:
        """Process the feedback on all alerts of a version so far; may roll it back (step 7).

        Args:
            version: Whose alerts.
            right: Alerts that were right.
            wrong: Alerts that were not.
            time_ns: Event time of the latest window.
        """
        with self._lock:
            self._judged[version] = right, wrong
            previous = self._previous
            if previous is None or version != self.get().version:
                return
            before_right, before_wrong = self._judged.get(previous.version, (0, 0))
            statistic, limit = surely(wrong, right + wrong), self._rules.wrong_share
            # If the old one's alerts were wrong as often, a rollback would not help.
            if statistic >= limit and wrong * (before_right + before_wrong) >= before_wrong * (right + wrong):
                windows = right + wrong
                self._go_back(previous, "precision", statistic, limit, (time_ns, time_ns, windows))

    def regressions(self) -> list[DriftEvent]:
        """What happened at step 7 since the last call."""
        with self._lock:
            found = list(self._regressions)
            self._regressions.clear()
            return found

    def _settled(self, version: int) -> bool:
        with self._lock:
            if self._candidate is not None and self._candidate[0].version != version:
                self._candidate = None  # the pointer has moved on, or back
            rejected = self._rejected.rejected
            if rejected is not None and rejected.version != version:
                self._rejected.keep(None)
            waiting = self._candidate is not None or self._rejected.rejected is not None
            return (self._model is not None and waiting) or super()._settled(version)

    def _load_for(self, version: int) -> ServingModel:
        rejected = self._rejected.rejected
        if rejected is None or rejected.version != version:
            return self._load(version)
        try:
            before = self._load(rejected.instead)
        except ModelError as error:
            log.error("version %s serves again, since the one before it cannot: %s", version, error)
            return self._load(version)
        log.warning("version %s was rejected or rolled back before this start", version)
        return before

    def _take_over(self, candidate: ServingModel) -> bool:
        with self._lock:
            back = self._previous is not None and candidate.version == self._previous.version
            if self._model is None or not self._rules.windows or back:
                self._previous = self._probation = None
                return super()._take_over(candidate)
            self._candidate = candidate, Comparison()
            self._tell("shadowing", candidate.version, f"{candidate.name} version {candidate.version} is tried")
            return False

    def _shadow(self, candidate: ServingModel, tried: Comparison, scored: ScoredWindows) -> None:
        """Step 5 for one batch, and step 6 after the last."""
        try:
            scores = self._scores(candidate, scored.batch.windows)
            candidate.shadow_scores.append(scores)  # its threshold on the stream is known before its first alert
            tried.add(self._above(scores, candidate.threshold), self._in_service(scored), scored)
        except Exception as error:
            # No error of a candidate may cost a line: it is not in service.
            self._refuse(candidate, f"{candidate.name} version {candidate.version} cannot score live windows: {error}")
            return
        if tried.windows < self._rules.windows:
            return
        new, old = tried.rates()
        if tried.least() > self._rules.limit(old):
            self._refuse(
                candidate, f"{candidate.name} version {candidate.version} finds {new:.2%} of {tried.windows} live "
                f"windows anomalous, version {scored.version} {old:.2%}; {self._rules.limit(old):.2%} would be allowed",
            )  # fmt: skip
            return
        self._previous, self._candidate, self._probation = self._model, None, Comparison()
        super()._take_over(candidate)  # 6

    def _look_back(self, previous: ServingModel, probation: Comparison, scored: ScoredWindows) -> None:
        """Step 7 for one batch."""
        if scored.version != self.get().version:
            return  # scored before the swap
        try:
            old = self._alerts(previous, scored.batch.windows)
        except Exception:
            # Without it there is no comparison, and a rollback to it would not help.
            log.exception(
                "%s version %s fails in the comparison with its successor, which stays in use",
                previous.name,
                previous.version,
            )
            self._previous = self._probation = None
            return
        probation.add(self._in_service(scored), old, scored)
        least, limit = probation.least(), self._rules.limit(probation.rates()[1])
        if least > limit:
            last_ns = int(scored.batch.last_ns.max())
            self._go_back(previous, "alert_rate", least, limit, (probation.since_ns, last_ns, probation.windows))
        elif probation.windows >= self._rules.windows:
            self._probation = None

    def _go_back(
        self, previous: ServingModel, detector: str, statistic: float, limit: float, span: tuple[int, int, int]
    ) -> None:
        bad = self.get()
        rates = () if self._probation is None else self._probation.rates()
        evidence = {"previous_version": previous.version, "alert_rates": list(rates)}
        self._regressions.append(
            DriftEvent("regression", detector, statistic, limit, *span, bad.name, bad.version, evidence=evidence)
        )
        self._model, self._previous, self._probation, self._candidate = previous, None, None, None
        self._rejected.keep(RejectedVersion(bad.name, bad.version, previous.version))  # 8
        self._tell(
            "taken_back", bad.version,
            f"{bad.name} version {bad.version} was taken back: {detector} {statistic:.4g} where {limit:.4g} is "
            f"allowed; version {previous.version} is in service again",
        )  # fmt: skip

    def _refuse(self, candidate: ServingModel, sentence: str) -> None:
        self._candidate = None
        self._rejected.keep(RejectedVersion(candidate.name, candidate.version, self.get().version))  # 8
        self._tell("refused", candidate.version, sentence)

    def _alerts(self, model: ServingModel, windows: Windows) -> int:
        return self._above(self._scores(model, windows), model.threshold)

    def _scores(self, model: ServingModel, windows: Windows) -> NDArray[np.float32]:
        scores = model.score(windows)
        if not np.isfinite(scores).all():
            raise ModelError("its scores are not finite numbers")
        return scores

    def _in_service(self, scored: ScoredWindows) -> int:
        return self._above(scored.score, scored.threshold)

    def _above(self, scores: NDArray[np.float32], threshold: float) -> int:
        return int((scores >= (threshold if self._rules.threshold is None else self._rules.threshold)).sum())
