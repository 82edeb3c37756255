"""Questions to a person: the windows whose label teaches most, and what an answer labels.

Questions are chosen by `models.training.label_queries` from the windows of a region's training store or from its
alerts. Answers are feedback in the training store, like those of `driftline alerts right|wrong`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.offline.detect import ScoredLog
from engine.settings import RegionSettings
from federation.storage.answers import AnswerStore
from foundation.content_ids import document_id
from foundation.time_text import iso_time, parse_time
from models.base import Templates, Windows, template_id
from models.storage.store import ModelStore
from models.training.label_queries import LabelQuery, alike, choose_queries, uncertainties


@dataclass(frozen=True, slots=True)
class LabelQuestion:
    """A window to be called normal or anomalous.

    Attributes:
        id: Of the window; the id of its alert, if it has one.
        session: Its session key; "" where it has none or the store holds only the hash.
        time: Event time of its last line, RFC 3339.
        score: Higher is more anomalous.
        uncertainty: 0 (far from the threshold) to 1 (at the threshold).
        alike: Windows with the same templates, this one included.
        templates: Text and number of lines of each template, the rarest in the pool first.
        keys: Hashes of the sessions that an answer labels.
    """

    id: str
    session: str
    time: str
    score: float
    uncertainty: float
    alike: int
    templates: tuple[tuple[str, int], ...]
    keys: tuple[bytes, ...]

    def document(self) -> dict[str, Any]:
        """JSON-compatible, for people and programs."""
        templates = [{"text": text, "count": count} for text, count in self.templates]
        return {
            "id": self.id, "session": self.session, "time": self.time, "score": self.score,
            "uncertainty": self.uncertainty, "alike": self.alike, "labels": len(self.keys), "templates": templates,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pool:
    """Windows to ask about, in columns of the same length (n).

    Attributes:
        windows: The windows.
        ids: See `LabelQuestion.id`.
        sessions: See `LabelQuestion.session`.
        keys: Hash of each session key, as the training store has it.
        time_ns: int64 (n,): event time of the last line.
        scores: float32 (n,).
        answered: bool (n,): a person or ground truth has labelled the session.
        templates: Holds the text of every id in `windows`.
    """

    windows: Windows
    ids: tuple[str, ...]
    sessions: tuple[str, ...]
    keys: tuple[bytes, ...]
    time_ns: NDArray[np.int64]
    scores: NDArray[np.float32]
    answered: NDArray[np.bool_]
    templates: Templates

    def questions(self, budget: int, threshold: float | None = None) -> tuple[LabelQuestion, ...]:
        """At most `budget` questions, the one that teaches most first.

        Args:
            budget: Maximum number.
            threshold: Of the model that gave the scores; None: the 99th percentile of the scores.
        """
        if not len(self.windows):
            return ()
        queries = choose_queries(self.windows, self._uncertainties(threshold), budget, answered=self.answered)
        windows_of, lines_of = Counter(self.keys), Counter(self.windows.ids.tolist())
        return tuple(self._question(query, windows_of, lines_of) for query in queries)

    def question(self, identity: str, threshold: float | None = None) -> LabelQuestion | None:
        """The question about one window, answered or not; None if there is no such window with lines.

        Args:
            identity: Id of the window.
            threshold: See `questions`.
        """
        if identity not in self.ids:
            return None
        i = self.ids.index(identity)
        filled = np.flatnonzero(self.windows.lengths())
        place = int(np.searchsorted(filled, i))
        if place == len(filled) or filled[place] != i:
            return None
        _, group = alike(self.windows.take(filled))
        like = filled[group == group[place]]
        query = LabelQuery(i, like, float(self._uncertainties(threshold)[i]))
        return self._question(query, Counter(self.keys), Counter(self.windows.ids.tolist()))

    def _uncertainties(self, threshold: float | None) -> NDArray[np.float64]:
        limit = float(np.percentile(self.scores, 99)) if threshold is None else threshold
        return uncertainties(self.scores, limit)

    def _question(
        self, query: LabelQuery, windows_of: Mapping[bytes, int], lines_of: Mapping[int, int]
    ) -> LabelQuestion:  # fmt: skip
        i = query.window
        like = Counter(self.keys[other] for other in query.like.tolist())
        # A session with further windows is labelled only if it is the one that is shown: its label holds for all.
        keys = {self.keys[i]: None} | {key: None for key, count in like.items() if count == windows_of[key]}
        counts = Counter(self.windows.row(i).tolist())
        rarest = sorted(counts, key=lambda template: (lines_of[template], self.templates[template]))
        return LabelQuestion(
            self.ids[i], self.sessions[i], iso_time(int(self.time_ns[i])), float(self.scores[i]), query.uncertainty,
            len(query.like), tuple((self.templates[t], counts[t]) for t in rarest), tuple(keys),
        )  # fmt: skip


def pool_of_store(store: AnswerStore, sessions: Iterable[str] = ()) -> Pool:
    """The windows of a training store; `sessions` are session keys that are known as text."""
    found = store.stored_windows()
    known = tuple(sessions)
    words = dict(zip(store.hashed(known), known, strict=True))
    return Pool(
        found.windows, found.ids, tuple(words.get(key, "") for key in found.keys), found.keys, found.time_ns,
        found.scores, found.answered, found.templates,
    )  # fmt: skip


def pool_of_alerts(alerts: Sequence[Mapping[str, Any]], store: AnswerStore) -> Pool:
    """Alerts as they were delivered, each id once; the store shows which are answered."""
    once = list({alert["id"]: alert for alert in alerts if alert.get("templates")}.values())
    texts = {template_id(t["text"]): t["text"] for alert in once for t in alert["templates"]}
    rows = [[template_id(t["text"]) for t in alert["templates"] for _ in range(t["count"])] for alert in once]
    keys = store.hashed(alert["session"] or alert["id"] for alert in once)
    return Pool(
        Windows.of(rows), tuple(alert["id"] for alert in once), tuple(alert["session"] for alert in once), keys,
        np.array([parse_time(alert["last_time"]) for alert in once], np.int64),
        np.array([alert["score"] for alert in once], np.float32), store.answered(keys), texts,
    )  # fmt: skip


def threshold_in_service(settings: RegionSettings) -> float | None:
    """The threshold of the settings, else that of the current model; None if nothing is published.

    Raises:
        ModelError: the model store cannot be read.
    """
    if settings.decide.threshold is not None:
        return settings.decide.threshold
    store, name = ModelStore(settings.scoring.store), settings.scoring.name
    version = store.current(name, settings.region)
    return None if version is None else store.card(name, version).threshold.value


def keep_scored(scored: ScoredLog, region: str, store: AnswerStore) -> int:
    """Add the complete windows of a scored log to a training store; a second time changes nothing.

    Returns:
        Increase of the number of windows.
    """
    data = scored.data
    complete = np.flatnonzero(data.windows.closed)
    places = zip(data.keys, data.first_ns.tolist(), data.last_ns.tolist(), range(len(data)), strict=True)
    ids = [document_id(region, *place) for place in places]
    return store.add(
        data.windows.take(complete), keys=[data.keys[i] for i in complete.tolist()],
        ids=[ids[i] for i in complete.tolist()], time_ns=data.last_ns[complete], scores=scored.scores[complete],
        templates=data.templates,
    )  # fmt: skip
