"""Markers on the axis of time: deploys that were reported, drift, rounds, and new versions of the model."""

import itertools
import secrets
from collections.abc import Iterator
from typing import Annotated, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from connectors.sql_schema import AUDIT, MARKERS
from engine.api.auth import Operator, Viewer
from engine.api.drift_events import newest_events
from engine.api.minutes import Time, minute_range, minute_text
from engine.api.pages import time_of
from engine.api.problems import RESPONSES, ProblemError, not_found
from engine.api.rounds import ended_rounds
from engine.api.services import Services, Svc
from foundation.time_text import NS_PER_S, iso_time
from models.base import ModelStoreError
from models.storage.store import ModelStore

router = APIRouter(prefix="/api/v1/markers", tags=["markers"], responses=RESPONSES)

MarkerKind = Literal["deploy", "drift", "round", "version", "rollback"]

MAX_MARKERS = 500
"""Of each kind, the newest."""


class Marker(BaseModel):
    """An event on the axis of time."""

    id: Annotated[str, Field(description="Of a deploy, with which it can be deleted; otherwise what it is about.")]
    time: str
    kind: MarkerKind
    label: str


class MarkerRequest(BaseModel):
    """A deploy, or anything else that explains a change."""

    label: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
    time: Annotated[str | None, Field(max_length=40, description="RFC 3339; now if null.")] = None


@router.get("")
def list_markers(_: Viewer, services: Svc, since: Time = None, until: Time = None) -> list[Marker]:
    """Deploys, drift, ended rounds, published versions and rollbacks of a range, in order; the last 24 hours."""
    start, end = minute_range(services, since, until)
    return markers_between(services, minute_text(start), minute_text(end))


@router.post("", status_code=201)
def mark(caller: Operator, services: Svc, given: MarkerRequest) -> Marker:
    """Mark a deploy, for example from the program that deploys, with a token."""
    made = Marker(
        id=secrets.token_hex(8), time=time_of("time", given.time) or services.now(), kind="deploy", label=given.label
    )
    with services.database.write() as connection:
        row = {"id": made.id, "time": made.time, "label": made.label, "actor": caller.name}
        connection.execute(MARKERS.insert().values(**row))
    services.audit(caller.name, "marker.created", made.id, label=made.label)
    return made


@router.delete("/{identity}", status_code=204)
def remove(
    caller: Operator, services: Svc, identity: Annotated[str, Path(max_length=64, pattern=r"^[^\x00]+$")]
) -> None:
    """Delete the marker of a deploy."""
    with services.database.write() as connection:
        if not connection.execute(MARKERS.delete().where(MARKERS.c.id == identity)).rowcount:
            raise not_found("marker", identity)
    services.audit(caller.name, "marker.deleted", identity)


def markers_between(services: Services, since: str, until: str) -> list[Marker]:
    """The markers of a range in order; parts that the service does not have give none.

    Args:
        services: The running service.
        since: First time, as the store has it.
        until: The time behind the last one.
    """
    found = itertools.chain(
        _deploys(services, since, until), _rollbacks(services, since, until), _drift(services), _rounds(services),
        _versions(services),
    )  # fmt: skip
    return sorted((m for m in found if since <= m.time < until), key=lambda m: (m.time, m.kind, m.id))


def _deploys(services: Services, since: str, until: str) -> Iterator[Marker]:
    query = sa.select(MARKERS).where(MARKERS.c.time >= since, MARKERS.c.time < until)
    for row in services.database.rows(query.order_by(MARKERS.c.time.desc()).limit(MAX_MARKERS)):
        yield Marker(id=row["id"], time=row["time"], kind="deploy", label=row["label"])


def _rollbacks(services: Services, since: str, until: str) -> Iterator[Marker]:
    conditions = AUDIT.c.action == "model.rollback", AUDIT.c.time >= since, AUDIT.c.time < until
    query = sa.select(AUDIT).where(*conditions).order_by(AUDIT.c.time.desc()).limit(MAX_MARKERS)
    for row in services.database.rows(query):
        yield Marker(id=row["subject"], time=row["time"], kind="rollback", label=f"{row['subject']} rolled back")


def _drift(services: Services) -> Iterator[Marker]:
    try:
        events = newest_events(services, MAX_MARKERS)
    except ProblemError:  # no region, or no events that can be read back
        return
    for event in events:
        what = f"{event['type']}: {event['detector']}"
        yield Marker(
            id=event["id"], time=time_of("time", event["time"]), kind="drift",
            label=f"{what} is over" if event.get("over") else what,
        )  # fmt: skip


def _rounds(services: Services) -> Iterator[Marker]:
    for found in ended_rounds(services, MAX_MARKERS):
        label = f"round {found.number}: {found.outcome}"
        yield Marker(id=found.round_id, time=time_of("ended", found.ended), kind="round", label=label)


def _versions(services: Services) -> Iterator[Marker]:
    """The versions of the models that the service's region and coordinator use."""
    region, coordinator = services.region, services.coordinator
    names = set() if coordinator is None else {coordinator.model}
    if region is not None and region.model is not None:
        names.add(region.model.name)
    store = ModelStore(services.models_url)
    for name in names:
        for version in store.versions(name)[-MAX_MARKERS:]:
            try:
                created_s = store.any_card(name, version).created_ns // NS_PER_S
            except ModelStoreError:  # the page of the models reports it
                continue
            label = f"{name} version {version}"
            yield Marker(id=f"{name}/{version}", time=iso_time(created_s * NS_PER_S), kind="version", label=label)
