"""Health of the regions in the store: lag, age of the model, and what the model is blind to."""

from dataclasses import asdict
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter
from pydantic import BaseModel, Field

from connectors.sql_schema import ALERTS, TEMPLATES
from connectors.sql_settings import ALL_TEMPLATES
from engine.api.auth import Viewer
from engine.api.minutes import alerts_within, minute_range, rows_within
from engine.api.problems import RESPONSES
from engine.api.services import Services, Svc
from engine.runtime.engine_state import worker_states
from engine.settings import RegionSettings
from federation.storage.answers import AnswerStore
from foundation.time_text import NS_PER_S, iso_time, parse_time
from models.storage.store import ModelStore

router = APIRouter(prefix="/api/v1/regions", tags=["regions"], responses=RESPONSES)


class RegionModel(BaseModel):
    """The version that a region serves."""

    name: str
    version: int
    created: str
    age_s: float


class BlindSpot(BaseModel):
    """Lines of the last 24 hours in templates that were first seen after the model was made."""

    templates: int
    lines: int
    share: Annotated[float, Field(description="Of all lines of these 24 hours.")]


class StoredLabels(BaseModel):
    """What the training store of the region holds."""

    windows: int
    anomalous: int
    normal: int
    unlabelled: int
    labels: Annotated[int, Field(description="Labels, also those without a window.")]


class Worker(BaseModel):
    """A running worker of the region's engine, by its counters since it started."""

    worker: int
    ready: bool
    wrong: list[str]
    lines: int
    windows: int
    alerts: int
    late: Annotated[int, Field(description="Lines that came too late for a window.")]
    undated: Annotated[int, Field(description="Lines without a time, which have the time of reading.")]
    dead_letters: Annotated[dict[str, int], Field(description="Lines that could not be processed, by the fault.")]
    lag: Annotated[int | None, Field(description="Not yet read (Kafka: messages; files: bytes); null if unknown.")]
    version: Annotated[int | None, Field(description="Version of the model in use.")]


class RegionHealth(BaseModel):
    """One region."""

    name: str
    last_line: Annotated[str | None, Field(description="Event time of its last line that was counted.")]
    lag_s: Annotated[float | None, Field(description="Seconds since that line.")]
    lines: Annotated[int, Field(description="Lines in the last 24 hours.")]
    alerts: Annotated[int, Field(description="Alerts in the last 24 hours.")]
    model: Annotated[RegionModel | None, Field(description="Null if no version is published.")]
    blind: Annotated[BlindSpot | None, Field(description="Null without a model.")]
    labels: Annotated[StoredLabels | None, Field(description="Only of the service's own region.")]
    workers: Annotated[list[Worker] | None, Field(description="Only of the service's own region; empty if none runs.")]


@router.get("")
def list_regions(_: Viewer, services: Svc) -> list[RegionHealth]:
    """Every region with counted lines, and the service's own: lag, model, blind spots, labels, workers."""
    last = sa.func.max(TEMPLATES.c.last_seen).label("last")
    seen = {
        row["region"]: row["last"]
        for row in services.database.rows(sa.select(TEMPLATES.c.region, last).group_by(TEMPLATES.c.region))
    }
    own = services.region
    names = sorted({*seen, *(() if own is None else (own.region,))})
    day = minute_range(services, None, None)
    return [_health(services, name, seen.get(name), own if own is not None and own.region == name else None, day)
            for name in names]  # fmt: skip


def _health(
    services: Services, name: str, last_line: str | None, own: RegionSettings | None, day: tuple[int, int]
) -> RegionHealth:  # fmt: skip
    start, end = day
    model = _model(services, name)
    lines, _ = _lines(services, rows_within(start, end, name, (ALL_TEMPLATES,)))
    return RegionHealth(
        name=name, last_line=last_line,
        lag_s=None if last_line is None else (services.now_ns() - parse_time(last_line)) / NS_PER_S,
        lines=lines,
        alerts=services.database.count(sa.select(ALERTS.c.id).where(*alerts_within(start, end, name))),
        model=model, blind=None if model is None else _blind(services, name, start, end, lines, model.created),
        labels=None if own is None else _labels(services, own),
        workers=None if own is None else [Worker.model_validate(asdict(found)) for found in worker_states(own)],
    )  # fmt: skip


def _model(services: Services, region: str) -> RegionModel | None:
    """The version that a region serves; the model is that of the service's region or coordinator."""
    store, name = ModelStore(services.models_url), services.model
    version = store.current(name, region) if name else None
    if not name or version is None:
        return None
    created_ns = store.any_card(name, version).created_ns
    age_s = (services.now_ns() - created_ns) / NS_PER_S
    return RegionModel(name=name, version=version, created=iso_time(created_ns), age_s=age_s)


def _lines(services: Services, counted: sa.Subquery) -> tuple[int, int]:
    """Number of lines, and of the templates that have any."""
    columns: list[sa.ColumnElement[Any]] = [sa.func.sum(counted.c.lines), sa.func.count(counted.c.template.distinct())]
    query = sa.select(*columns).where(counted.c.lines > 0)
    ((lines, templates),) = services.database.tuples(query)
    return int(lines or 0), templates


def _blind(services: Services, region: str, start: int, end: int, lines: int, created: str) -> BlindSpot:
    newer = sa.select(TEMPLATES.c.id).where(TEMPLATES.c.region == region, TEMPLATES.c.first_seen > created)
    blind, templates = _lines(services, rows_within(start, end, region, newer))
    return BlindSpot(templates=templates, lines=blind, share=blind / max(1, lines))


def _labels(services: Services, region: RegionSettings) -> StoredLabels | None:
    if region.training is None or not region.training.path.is_file():
        return None
    with AnswerStore(region.training.path, region.training, now_ns=services.now_ns) as store:
        counts = store.counts()
    return StoredLabels(
        windows=counts.windows, anomalous=counts.anomalous, normal=counts.normal, unlabelled=counts.unlabelled,
        labels=counts.labels,
    )  # fmt: skip
