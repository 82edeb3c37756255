"""How another version judges the last alerts, and how many it would have raised at any threshold."""

from collections.abc import Mapping, Sequence, Set
from typing import Annotated, Any, Literal

import numpy as np
import orjson
import sqlalchemy as sa
from fastapi import APIRouter, Query
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from connectors.channels.alert_text import title_of
from connectors.sql_schema import ALERTS
from engine.api.auth import Viewer
from engine.api.model_versions import ModelName, VersionNumber
from engine.api.problems import RESPONSES, ProblemError, not_found
from engine.api.services import Services, Svc
from engine.api.versions import LoadedVersions, Versions, training_store
from engine.offline.ask import Pool, pool_of_alerts, pool_of_store
from engine.offline.rescore import sessions_by_threshold
from engine.settings import RegionSettings
from foundation.time_text import NS_PER_S, iso_time
from models.storage.store import ModelStore

router = APIRouter(prefix="/api/v1/models", tags=["models"], responses=RESPONSES)

POINTS = 200
"""Thresholds that the answer has."""

SHOWN = 200
"""Windows of each kind that the answer lists."""

DAY_NS = 86_400 * NS_PER_S

DOTS = 500
"""Windows whose scores the answer has for a picture."""

Change = Literal["lost", "gained"]


class ReplayedWindow(BaseModel):
    """A window about which two versions disagree."""

    id: Annotated[str, Field(description="Of the window, and of its alert.")]
    alert: Annotated[bool, Field(description="Whether it raised an alert.")]
    change: Annotated[Change, Field(description="lost: only version a calls it anomalous; gained: only b.")]
    title: str
    time: str
    score_a: float
    score_b: float


class ReplayScores(BaseModel):
    """The scores of one window."""

    a: float
    b: float
    alert: Annotated[bool, Field(description="Whether it raised an alert.")]


class ReplayPoint(BaseModel):
    """A threshold of version b."""

    threshold: float
    sessions: Annotated[int, Field(description="Sessions that reach it.")]


class Replay(BaseModel):
    """Two versions over the last alerts and the windows that were stored since the first of them."""

    model: str
    a: int
    b: int
    threshold_a: float
    threshold_b: float
    since: Annotated[str | None, Field(description="Time of the first window; null without windows.")]
    days: Annotated[float, Field(description="Time from the first window to the last one.")]
    alerts: Annotated[int, Field(description="Alerts that both versions scored again.")]
    same: Annotated[int, Field(description="Alerts that both versions raise.")]
    lost: Annotated[int, Field(description="Alerts that only version a raises.")]
    gained: Annotated[int, Field(description="Alerts and further windows that only version b calls anomalous.")]
    neither: Annotated[int, Field(description="Alerts that neither version raises, such as those of another version.")]
    approximate: Annotated[
        int, Field(description="Alerts whose window is not stored: the order of their lines is not known.")
    ]
    windows: Annotated[int, Field(description="Stored windows without an alert that were scored again.")]
    items: Annotated[list[ReplayedWindow], Field(description="Windows on which the versions differ, newest first.")]
    scores: Annotated[
        list[ReplayScores],
        Field(description="Scores by both versions; of many windows every nth, in order of score a."),
    ]
    points: Annotated[
        list[ReplayPoint], Field(description="How many sessions reach a threshold by version b, highest first.")
    ]


@router.get("/{name}/replay")
def replay(
    _: Viewer, services: Svc, loaded: Versions, name: ModelName,
    a: Annotated[VersionNumber, Query()],
    b: Annotated[VersionNumber, Query()],
    alerts: Annotated[int, Query(ge=1, le=2_000, description="Newest alerts.")] = 200,
) -> Replay:  # fmt: skip
    """How version b judges the last alerts, compared with version a: gained, lost and the same."""
    with training_store(services) as (region, store):
        if name != region.scoring.name:
            raise ProblemError(409, f"the region's windows are judged by {region.scoring.name}, not {name}")
        known = ModelStore(region.scoring.store).versions(name)
        for version in (a, b):
            if version not in known:
                raise not_found(f"version {version} of model", name)
        documents = _newest(services, region, alerts)
        stored = pool_of_store(store)
        stored_ids = set(stored.ids)
        rest = pool_of_alerts([d for d in documents if d["id"] not in stored_ids], store)
    first_ns = _first_ns((stored, rest), {d["id"] for d in documents})
    stored = _taken(stored, np.flatnonzero(stored.time_ns >= first_ns))
    return _replayed(region, loaded, (stored, rest), (a, b), {d["id"]: d for d in documents})


def _replayed(
    region: RegionSettings, loaded: LoadedVersions, pools: tuple[Pool, Pool], pair: tuple[int, int],
    documents: Mapping[str, Mapping[str, Any]],
) -> Replay:  # fmt: skip
    ids, times = pools[0].ids + pools[1].ids, np.concatenate([pool.time_ns for pool in pools])
    (scores_a, threshold_a), (scores_b, threshold_b) = (_scores(region, loaded, pools, v) for v in pair)
    by_a, by_b = scores_a >= np.float32(threshold_a), scores_b >= np.float32(threshold_b)
    raised = np.array([name in documents for name in ids], bool)
    order = np.argsort(-times, kind="stable")
    lost, gained = by_a & ~by_b, by_b & ~by_a
    changes: tuple[tuple[Change, NDArray[np.bool_]], ...] = (("lost", lost & raised), ("gained", gained))
    items = [
        ReplayedWindow(
            id=ids[i], alert=bool(raised[i]), change=change, title=_title(pools, i, documents.get(ids[i])),
            time=iso_time(int(times[i])), score_a=float(scores_a[i]), score_b=float(scores_b[i]),
        )
        for change, chosen in changes
        for i in order[chosen[order]][:SHOWN].tolist()
    ]  # fmt: skip
    span_ns = int(times.max() - times.min()) if len(times) else 0
    return Replay(
        model=region.scoring.name, a=pair[0], b=pair[1], threshold_a=threshold_a, threshold_b=threshold_b,
        since=iso_time(int(times.min())) if len(times) else None, days=span_ns / DAY_NS, alerts=int(raised.sum()),
        same=int((by_a & by_b & raised).sum()), lost=int((lost & raised).sum()), gained=int(gained.sum()),
        neither=int((~by_a & ~by_b & raised).sum()), approximate=len(pools[1].ids), windows=int((~raised).sum()),
        items=items, scores=_sample(scores_a, scores_b, raised),
        points=[
            ReplayPoint(threshold=point.threshold, sessions=point.sessions)
            for point in sessions_by_threshold(pools[0].keys + pools[1].keys, scores_b, POINTS)
        ],
    )  # fmt: skip


def _scores(
    region: RegionSettings, loaded: LoadedVersions, pools: Sequence[Pool], version: int
) -> tuple[NDArray[np.float32], float]:
    """Scores of the windows of all pools, and the threshold."""
    found = [loaded.scores(region, version, pool) for pool in pools]
    return np.concatenate([scores for scores, _ in found]), found[0][1]


def _sample(a: NDArray[np.float32], b: NDArray[np.float32], raised: NDArray[np.bool_]) -> list[ReplayScores]:
    """Scores of windows evenly by rank, the lowest and the highest included."""
    order = np.lexsort((b, a))
    chosen = order[np.unique(np.linspace(0, max(len(a) - 1, 0), min(len(a), DOTS)).round().astype(np.int64))]
    return [ReplayScores(a=float(a[i]), b=float(b[i]), alert=bool(raised[i])) for i in chosen.tolist()]


def _newest(services: Services, region: RegionSettings, limit: int) -> list[dict[str, Any]]:
    """Documents of the newest alerts that the model of the region raised."""
    wanted = ALERTS.c.region == region.region, ALERTS.c.model == region.scoring.name
    order = ALERTS.c.last_time.desc(), ALERTS.c.id.desc()
    query = sa.select(ALERTS.c.document).where(*wanted).order_by(*order).limit(limit)
    found = [orjson.loads(row["document"]) for row in services.database.rows(query)]
    return [document for document in found if document.get("templates")]


def _first_ns(pools: Sequence[Pool], wanted: Set[str]) -> int:
    """Event time of the earliest of the windows that are wanted; 0 without any."""
    rows = (row for pool in pools for row in zip(pool.ids, pool.time_ns.tolist(), strict=True))
    return min((time for name, time in rows if name in wanted), default=0)


def _taken(pool: Pool, index: NDArray[np.int64]) -> Pool:
    names, sessions, keys = ([column[i] for i in index.tolist()] for column in (pool.ids, pool.sessions, pool.keys))
    return Pool(
        pool.windows.take(index), tuple(names), tuple(sessions), tuple(keys), pool.time_ns[index], pool.scores[index],
        pool.answered[index], pool.templates,
    )  # fmt: skip


def _title(pools: tuple[Pool, Pool], i: int, document: Mapping[str, Any] | None) -> str:
    """The title of the alert, or the last template of a window without one, which is in the first pool."""
    if document is not None:
        return title_of(document)
    row = pools[0].windows.row(i)
    return pools[0].templates[int(row[-1])] if len(row) else ""
