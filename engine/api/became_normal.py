"""What became normal: behaviour that a version of the model no longer flags, and templates that operators silenced."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated

import numpy as np
import sqlalchemy as sa
from fastapi import APIRouter, Query
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from connectors.sql_schema import ALERTS, FEEDBACK, WINDOW_LABELS
from engine.api.actions import exactly
from engine.api.auth import Viewer
from engine.api.model_versions import VersionNumber
from engine.api.problems import RESPONSES, not_found
from engine.api.questions import QuestionTemplate
from engine.api.services import Services, Svc
from engine.api.versions import LoadedVersions, Versions, training_store
from engine.api.window_labels import WindowLabel, alerts_among, window_label
from engine.offline.ask import Pool, pool_of_store
from engine.offline.rescore import LostKind, lost_kinds, lost_templates
from engine.settings import RegionSettings
from engine.steps.silences import read_silences
from foundation.documents.base import template_id_text
from foundation.time_text import iso_time
from models.storage.store import ModelStore

router = APIRouter(prefix="/api/v1/became-normal", tags=["became normal"], responses=RESPONSES)

TEMPLATES = 200
SILENCED = 200


class NormalKind(BaseModel):
    """Windows with the same templates that are no longer anomalous."""

    id: Annotated[str, Field(description="Id of the latest of them, also that of its alert.")]
    alert: Annotated[bool, Field(description="Whether the latest one raised an alert.")]
    windows: Annotated[int, Field(description="How many of them the earlier version calls anomalous.")]
    time: Annotated[str, Field(description="Event time of the last line of the latest one.")]
    score_before: float
    score_after: float
    answered: Annotated[bool, Field(description="Whether operators or ground truth have labelled the latest one.")]
    undone: Annotated[WindowLabel | None, Field(description="The answer here that calls it anomalous again.")]
    templates: list[QuestionTemplate]


class NormalTemplate(BaseModel):
    """A template whose windows are no longer anomalous."""

    id: str
    text: str
    windows: Annotated[int, Field(description="Windows with it.")]


class SilencedTemplate(BaseModel):
    """A template that an operator called normal from now on."""

    alert: str
    template: str
    actor: str
    time: str
    comment: str
    silence: Annotated[str | None, Field(description="The silence in force; null if it was removed.")]


class BecameNormal(BaseModel):
    """What the later version no longer flags among the stored windows, and what operators silenced."""

    model: str
    before: Annotated[int | None, Field(description="The earlier version; null if there is only one.")]
    after: Annotated[int | None, Field(description="The later version.")]
    versions: Annotated[list[int], Field(description="Versions that can be compared.")]
    threshold_before: float | None
    threshold_after: float | None
    windows: Annotated[int, Field(description="Stored windows that both versions scored again.")]
    anomalous_before: int
    anomalous_after: int
    lost: Annotated[int, Field(description="Windows that only the earlier version calls anomalous.")]
    gained: Annotated[int, Field(description="Windows that only the later version calls anomalous.")]
    kinds: Annotated[list[NormalKind], Field(description="The lost windows by their templates, the most first.")]
    templates: Annotated[
        list[NormalTemplate],
        Field(description="Templates all of whose windows the earlier version calls anomalous, and none the later."),
    ]
    silenced: Annotated[list[SilencedTemplate], Field(description="The newest first.")]


@router.get("")
def show(
    _: Viewer, services: Svc, loaded: Versions,
    before: Annotated[VersionNumber | None, Query(description="Earlier version; the parent of the later one.")] = None,
    after: Annotated[VersionNumber | None, Query(description="Later version; the one in service.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Kinds of windows.")] = 50,
) -> BecameNormal:  # fmt: skip
    """Behaviour that the later version no longer flags: both versions score the stored windows of the region again."""
    with training_store(services) as (region, store):
        silenced = _silenced(services, region)
        versions = ModelStore(region.scoring.store).versions(region.scoring.name)
        a, b = _pair(region, versions, before, after)
        if a is None or b is None:
            return BecameNormal(
                model=region.scoring.name, before=a, after=b, versions=versions, threshold_before=None,
                threshold_after=None, windows=0, anomalous_before=0, anomalous_after=0, lost=0, gained=0, kinds=[],
                templates=[], silenced=silenced,
            )  # fmt: skip
        pool = pool_of_store(store)
    found = _compared(services, loaded, region, pool, (a, b), limit)
    return found.model_copy(update={"versions": versions, "silenced": silenced})


def _compared(
    services: Services, loaded: LoadedVersions, region: RegionSettings, pool: Pool, pair: tuple[int, int], limit: int
) -> BecameNormal:  # fmt: skip
    scores, thresholds = zip(*(loaded.scores(region, version, pool) for version in pair), strict=True)
    flagged = [found >= np.float32(threshold) for found, threshold in zip(scores, thresholds, strict=True)]
    kinds = lost_kinds(pool.windows, *flagged)[:limit]
    templates = sorted(lost_templates(pool.windows, *flagged).items(), key=lambda item: (-item[1], item[0]))
    undone, alerts = _undone(services), alerts_among(services, [pool.ids[kind.window] for kind in kinds])
    return BecameNormal(
        model=region.scoring.name, before=pair[0], after=pair[1], versions=[],
        threshold_before=thresholds[0], threshold_after=thresholds[1], windows=len(pool.ids),
        anomalous_before=int(flagged[0].sum()), anomalous_after=int(flagged[1].sum()),
        lost=int((flagged[0] & ~flagged[1]).sum()), gained=int((~flagged[0] & flagged[1]).sum()),
        kinds=[_kind(pool, kind, (scores[0], scores[1]), undone, alerts) for kind in kinds],
        templates=[
            NormalTemplate(id=template_id_text(t), text=pool.templates[t], windows=n) for t, n in templates[:TEMPLATES]
        ],
        silenced=[],
    )  # fmt: skip


def _kind(
    pool: Pool, kind: LostKind, scores: tuple[NDArray[np.float32], NDArray[np.float32]],
    undone: Mapping[str, WindowLabel], alerts: Collection[str],
) -> NormalKind:  # fmt: skip
    i = kind.window
    counts = Counter(pool.windows.row(i).tolist())
    return NormalKind(
        id=pool.ids[i], alert=pool.ids[i] in alerts, windows=len(kind.windows), time=iso_time(int(pool.time_ns[i])),
        score_before=float(scores[0][i]), score_after=float(scores[1][i]), answered=bool(pool.answered[i]),
        # Windows came since, or another one of the kind was asked about; the latest answer is that of the kind.
        undone=next((undone[pool.ids[w]] for w in reversed(kind.windows.tolist()) if pool.ids[w] in undone), None),
        templates=[QuestionTemplate(text=pool.templates[t], count=n) for t, n in counts.items()],
    )  # fmt: skip


def _pair(
    region: RegionSettings, versions: Sequence[int], before: int | None, after: int | None
) -> tuple[int, int] | tuple[int | None, int | None]:  # fmt: skip
    """The versions to compare; one is None if the store has no two.

    Raises:
        ProblemError: a version does not exist.
    """
    store, name = ModelStore(region.scoring.store), region.scoring.name
    for version in (before, after):
        if version is not None and version not in versions:
            raise not_found(f"version {version} of model", name)
    after = store.current(name, region.region) if after is None and versions else after
    if after is None:
        return None, None
    return store.before(name, after) if before is None else before, after


def _undone(services: Services) -> dict[str, WindowLabel]:
    """Answers that call a window anomalous, by the window."""
    query = sa.select(WINDOW_LABELS).where(WINDOW_LABELS.c.anomalous)
    return {row["window_id"]: window_label(row) for row in services.database.rows(query)}


def _silenced(services: Services, region: RegionSettings) -> list[SilencedTemplate]:
    """Templates of alerts that were answered `normal`, with the silence in force."""
    path = region.decide.silences
    names = {} if path is None else {rule.template: rule.name for rule in read_silences(path)}
    query = (
        sa.select(FEEDBACK, ALERTS.c.cause)
        .join(ALERTS, ALERTS.c.id == FEEDBACK.c.alert_id)
        .where(FEEDBACK.c.answer == "normal", ALERTS.c.region == region.region)
        .order_by(FEEDBACK.c.time.desc(), FEEDBACK.c.alert_id.desc())
        .limit(SILENCED)
    )
    return [
        SilencedTemplate(
            alert=row["alert_id"], template=row["cause"], actor=row["actor"], time=row["time"], comment=row["comment"],
            silence=names.get(exactly(row["cause"])),
        )
        for row in services.database.rows(query)
    ]  # fmt: skip
