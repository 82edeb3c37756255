"""Decide: which anomalous windows are worth an alert.

A window is anomalous when its score reaches the threshold. Three things keep the alerts few: hysteresis
(a stream has to stay anomalous, and has to recover before it can alert again), episodes, and suppression
rules written by the operator.

An episode is a session's stay above the threshold. Its first alert opens it. Later windows are counted as
repeats only where they show nothing new: a template that no alert of the episode has shown, and that was
not seen in normal windows before the episode, raises another alert, and so does a clearly higher score.
An incident is therefore never hidden by a harmless anomaly that came before it.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.records import Decision, ScoredWindows
from engine.steps.ordinary import OrdinaryTemplates
from engine.steps.silences import WITHHELD_BY_GROUP, SuppressionRule
from foundation.content_ids import digest

STRONGER = 2.0
"""A score is clearly higher if its excess over the threshold is at least this many times that of the episode's peak.
So the number of alerts on a score that keeps rising grows with its logarithm."""

MAX_SHOWN = 10_000
"""Templates that an episode remembers; one with more shows everything, and later templates are not new."""


class DecideSettings(BaseModel):
    """How scores become alerts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float | None = Field(
        None,
        allow_inf_nan=False,
        description="Score from which a window is anomalous; the model's calibrated threshold if not given.",
    )
    calibrate: bool = Field(
        True, description="Whether the scores of the stream correct the model's threshold; see thresholds.md."
    )
    alert_budget: Annotated[float, Field(gt=0)] = Field(
        5.0,
        description="Intended number of alerts a day from one source. Further ones are sent together as one, unless "
        "they are critical or the strongest of the day; see thresholds.md. `inf` sets no limit.",
    )
    consecutive: Annotated[int, Field(ge=1)] = Field(
        1, description="Consecutive anomalous windows (per session, or per source) before an alert is raised."
    )
    release_margin: Annotated[float, Field(ge=0)] = Field(
        0.0, description="How far below the threshold a score must fall before the same session may alert again."
    )
    group_s: Annotated[float, Field(gt=0)] = Field(
        300.0, description="Alerts with the same set of templates within this event time count as one group."
    )
    group_repeats: Literal["each", "doubling"] = Field(
        "each",
        description="Within a group, alert each time, or only at the 1st, 2nd, 4th, 8th … occurrence.",
    )
    max_open: Annotated[int, Field(ge=1)] = Field(
        100_000, description="Maximum number of sessions in alert, and of groups; the oldest are forgotten first."
    )
    suppress: tuple[SuppressionRule, ...] = Field((), description="Rules for windows that do not raise an alert.")
    silences: Path | None = Field(
        None,
        description="File of further rules that `driftline alerts silence` writes; changes take effect while the "
        "engine runs.",
    )


@dataclass(slots=True)
class _Episode:
    """One session's stay above the threshold.

    Attributes:
        above: Anomalous windows in a row.
        alerted: Whether an alert was raised.
        repeats: Anomalous windows since the last alert that raised none.
        opened: Number of the window that raised the first alert, in the stream of this decider.
        peak: Highest score that an alert has shown.
        shown: Templates that alerts of the episode have shown.
    """

    above: int = 0
    alerted: bool = False
    repeats: int = 0
    opened: int = 0
    peak: float = 0.0
    shown: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Group:
    """Alerts with one signature, close together in event time."""

    count: int
    last_ns: int


class Decider:
    """Keeps the episodes and groups of one stream of scored windows.

    Its decisions depend on the order of the windows alone, not on how they were batched.

    Attributes:
        suppressed: Windows withheld so far, by rule name; "group" for repeats within a group.
    """

    def __init__(
        self,
        settings: DecideSettings,
        templates: Mapping[int, str],
        *,
        sessions_end: bool,
        snapshot: bytes | None = None,
        silences: Callable[[], Sequence[SuppressionRule]] | None = None,
    ) -> None:
        """Starts empty, or from what `snapshot` gave.

        Args:
            settings: See `DecideSettings`.
            templates: Text of every template id, for the suppression rules.
            sessions_end: True where a closed window is the last of its session (session windows).
            snapshot: State to continue from.
            silences: Rules in force; by default those of the settings.
        """
        self._settings = settings
        self._templates = templates
        self._silences = silences or (lambda: settings.suppress)
        self._rules: Sequence[SuppressionRule] = ()
        self._sessions_end = sessions_end
        self._episodes: OrderedDict[tuple[str, int], _Episode] = OrderedDict()
        self._groups: OrderedDict[str, _Group] = OrderedDict()
        self._ordinary = OrdinaryTemplates(settings.max_open)
        self.suppressed: dict[str, int] = {}
        if snapshot is not None:
            self._restore(snapshot)

    def decide(self, scored: ScoredWindows, thresholds: NDArray[np.float64] | None = None) -> tuple[Decision, ...]:
        """The windows to alert on, in order.

        Args:
            scored: The next windows of the stream.
            thresholds: float64 (n,): what each window meets where the settings fix no threshold; by default the
                model's.
        """
        thresholds = self.thresholds(scored, thresholds)
        release = thresholds - self._settings.release_margin
        self._rules = self._silences()
        candidates = self._candidates(scored, release)
        self._ordinary.add(scored.batch, scored.score < release)
        decisions = [self._window(scored, i, float(thresholds[i]), float(release[i])) for i in candidates]
        self._ordinary.close()
        return tuple(d for d in decisions if d is not None)

    def thresholds(self, scored: ScoredWindows, thresholds: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """float64 (n,): what each window meets; see `decide`."""
        if self._settings.threshold is not None:
            return np.full(len(scored.score), self._settings.threshold)
        return np.full(len(scored.score), scored.threshold) if thresholds is None else thresholds

    def _candidates(self, scored: ScoredWindows, release: NDArray[np.float64]) -> list[int]:
        """Windows that can change anything: hot ones, and all of sessions that have an episode.

        A window that opens an episode inside this batch makes later windows of its session
        matter too, hence the sessions of the hot windows are in the set as well.
        """
        batch = scored.batch
        hot = scored.score.astype(np.float64) >= release
        if not self._episodes and not hot.any():
            return []
        opening = set(batch.session[hot].tolist())
        keys = zip(batch.partition, batch.session.tolist(), strict=True)
        return [i for i, key in enumerate(keys) if key[1] in opening or key in self._episodes]

    def _window(self, scored: ScoredWindows, i: int, threshold: float, release: float) -> Decision | None:
        batch = scored.batch
        key = (batch.partition[i], int(batch.session[i]))
        score = float(scored.score[i])
        ends = self._sessions_end and bool(batch.windows.closed[i])
        episode = self._episodes.pop(key, None) or _Episode()
        decision = None
        if score >= threshold:
            episode.above += 1
            decision = self._anomalous(scored, i, episode, threshold)
        elif score < release or not episode.alerted:
            # Recovered. Windows that raised no alert are counted in the session's next one.
            episode = _Episode(repeats=episode.repeats)
        if not ends and (episode.above or episode.alerted or episode.repeats):
            self._episodes[key] = episode
            _bound(self._episodes, self._settings.max_open)
        return decision

    def _anomalous(self, scored: ScoredWindows, i: int, episode: _Episode, threshold: float) -> Decision | None:
        """The alert due for an anomalous window, if one is; what is withheld is counted in one place only."""
        if episode.above < self._settings.consecutive:
            episode.repeats += 1
            return None
        batch = scored.batch
        unique = np.unique(batch.windows.row(i))
        news = self._news(unique.tolist(), episode, i)
        if episode.alerted and not news and not self._is_stronger(float(scored.score[i]), episode, threshold):
            episode.repeats += 1
            return None
        rule = self._suppressed_by(scored, i, unique.tolist())
        if rule is not None:
            self.suppressed[rule] = self.suppressed.get(rule, 0) + 1
            return None
        if not episode.alerted:
            episode.alerted, episode.opened = True, self._ordinary.number(i)
        episode.peak = max(episode.peak, float(scored.score[i]))
        episode.shown.update(unique.tolist())
        group = digest(unique.tobytes(), 8).hex()
        count = self._count(group, int(batch.last_ns[i]))
        if self._settings.group_repeats == "doubling" and count & (count - 1):
            self.suppressed[WITHHELD_BY_GROUP] = self.suppressed.get(WITHHELD_BY_GROUP, 0) + 1
            episode.repeats += 1
            return None
        repeats, episode.repeats = episode.repeats, 0
        return Decision(i, repeats, group, count, threshold, news)

    def _news(self, templates: list[int], episode: _Episode, i: int) -> tuple[int, ...]:
        """Templates that no alert of the episode has shown, nor a normal window before it."""
        if len(episode.shown) >= MAX_SHOWN:
            return ()
        opened = episode.opened if episode.alerted else self._ordinary.number(i)
        return tuple(t for t in templates if t not in episode.shown and not self._ordinary.before(t, opened))

    @staticmethod
    def _is_stronger(score: float, episode: _Episode, threshold: float) -> bool:
        excess = score - threshold
        return excess > 0 and excess >= STRONGER * (episode.peak - threshold)

    def _suppressed_by(self, scored: ScoredWindows, i: int, ids: list[int]) -> str | None:
        if not self._rules:
            return None
        texts = [self._templates.get(t, "") for t in ids]
        score, session, time_ns = float(scored.score[i]), scored.batch.key[i], int(scored.batch.last_ns[i])
        return next((r.name for r in self._rules if r.matches(score, session, texts, time_ns=time_ns)), None)

    def _count(self, signature: str, now_ns: int) -> int:
        """Occurrences in the signature's group, this one included."""
        group = self._groups.pop(signature, None)
        if group is None or now_ns - group.last_ns > self._settings.group_s * 1e9:
            group = _Group(0, now_ns)
        group.count += 1
        group.last_ns = max(group.last_ns, now_ns)
        self._groups[signature] = group
        _bound(self._groups, self._settings.max_open)
        return group.count

    def snapshot(self) -> bytes:
        """The state as JSON bytes; in columns, since a list for each episode takes twice as long."""
        episodes, groups = self._episodes.values(), self._groups.values()
        state = {
            "episodes": [
                [partition for partition, _ in self._episodes], [session for _, session in self._episodes],
                [e.above for e in episodes], [e.alerted for e in episodes], [e.repeats for e in episodes],
                [e.opened for e in episodes], [e.peak for e in episodes], [sorted(e.shown) for e in episodes],
            ],
            "groups": [list(self._groups), [g.count for g in groups], [g.last_ns for g in groups]],
            "ordinary": self._ordinary.snapshot(),
            "suppressed": self.suppressed,
        }  # fmt: skip
        return json.dumps(state).encode()

    def _restore(self, snapshot: bytes) -> None:
        state = json.loads(snapshot)
        for partition, session, *fields in zip(*state["episodes"], strict=True):
            episode = _Episode(*fields)
            episode.shown = set(episode.shown)
            self._episodes[partition, session] = episode
        for signature, *fields in zip(*state["groups"], strict=True):
            self._groups[signature] = _Group(*fields)
        self._ordinary.restore(state.get("ordinary"))
        self.suppressed = state["suppressed"]


def _bound(table: OrderedDict[str, _Group] | OrderedDict[tuple[str, int], _Episode], limit: int) -> None:
    while len(table) > limit:
        table.popitem(last=False)
