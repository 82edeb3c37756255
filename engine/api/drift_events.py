"""Drift events of the region, from the file or database that its engine sends them to."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from connectors.jsonl import JsonlSettings
from connectors.sql_settings import SqlSettings
from engine.api.auth import Viewer
from engine.api.problems import RESPONSES, ProblemError
from engine.api.services import Services, Svc
from engine.offline.alert_archive import AlertArchiveError, FileArchive, SqlArchive

router = APIRouter(prefix="/api/v1/drift-events", tags=["drift"], responses=RESPONSES)


class DriftEvents(BaseModel):
    """Drift events, the newest first."""

    items: Annotated[
        list[dict[str, Any]], Field(description="Events as `docs/drift-event.schema.json` describes them.")
    ]


@router.get("")
def list_drift_events(
    _: Viewer, services: Svc, limit: Annotated[int, Query(ge=1, le=1_000, description="Newest events.")] = 100
) -> DriftEvents:
    """The newest drift events and regressions of the region, with the templates that carry them."""
    return DriftEvents(items=newest_events(services, limit))


def newest_events(services: Services, limit: int) -> list[dict[str, Any]]:
    """The newest drift events of the region, each once, the newest first.

    Raises:
        ProblemError: the service has no region with drift events that can be read back.
    """
    sink = _sink(services)
    try:
        if isinstance(sink, SqlSettings):
            return _sorted(SqlArchive(sink).newest_events(limit))
        archive = FileArchive(Path(sink.path))
        state = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in archive.paths())
        return list(_of_files(archive, state)[:limit])
    except (AlertArchiveError, FileNotFoundError):  # no event was written yet, or the file was just rotated
        return []


@lru_cache(maxsize=4)
def _of_files(archive: FileArchive, state: tuple[tuple[str, int, int], ...]) -> tuple[dict[str, Any], ...]:
    """The events of files, read once for each state of the files: every page with a chart asks for them."""
    return tuple(_sorted(archive.read()))


def _sorted(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    latest: dict[str, dict[str, Any]] = {event["id"]: event for event in events if "detector" in event}
    return sorted(latest.values(), key=lambda event: (str(event.get("time", "")), event["id"]), reverse=True)


def _sink(services: Services) -> JsonlSettings | SqlSettings:
    sink = None if services.region is None else services.region.drift_events
    if sink is None:
        raise ProblemError(409, "the service has no region with [drift_events] in its TOML file")
    if isinstance(sink, SqlSettings) or (isinstance(sink, JsonlSettings) and sink.path != "-"):
        return sink
    raise ProblemError(409, f"drift events that go to a sink of type {sink.type} cannot be read back")
