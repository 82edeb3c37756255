"""Jobs: training and recalibration in a process of its own, from uploaded data or from the region's training store."""

import asyncio
import json
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import sqlalchemy as sa
from fastapi import APIRouter, File, Form, Header, Request, UploadFile
from fastapi import Path as InPath
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel, Field

from connectors.base import ConnectorError
from connectors.sql_schema import JOBS
from engine.api.auth import Admin, Viewer
from engine.api.job_runner import ENDED, change_job
from engine.api.pages import Page, Paging
from engine.api.problems import RESPONSES, ProblemError, not_found
from engine.api.services import Services, Svc
from engine.api.uploads import UploadRoute
from engine.offline.training_job import STORE_SOURCE, TrainingJob, TrainingReport
from models.base import ModelStoreError
from models.classify.registry import CLASSIFIERS
from models.detectors.registry import DETECTORS
from models.storage.names import require_own_name
from models.storage.store import ModelStore
from models.thresholds.registry import RULES

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], responses=RESPONSES, route_class=UploadRoute)

JobKind = Literal["train", "recalibrate"]
JobState = Literal["waiting", "running", "done", "failed", "cancelled"]
JobId = Annotated[str, InPath(max_length=64, pattern=r"^[^\x00]+$")]

POLL_S = 0.5
"""Time between two looks of a stream at its job."""

PING_S = 15.0
LIFETIME_S = 600.0
"""Then a stream ends, so that a listener whose login has ended is refused when it reconnects."""

MAX_STREAMS = 50
LOG_BYTES = 200_000
"""End of a log that is shown."""

COPY_BYTES = 1 << 20


class JobItem(BaseModel):
    """A training or recalibration."""

    id: str
    kind: JobKind
    model: Annotated[str, Field(description="Name in the model store.")]
    detector: str
    source: Annotated[str, Field(description="Name of the uploaded file, or `training store`.")]
    actor: str
    state: JobState
    created: str
    started: str | None
    ended: str | None
    stage: Annotated[str, Field(description="What it does now, or did last.")]
    done: Annotated[int, Field(description="Steps of the stage that are done.")]
    total: Annotated[int, Field(description="Steps of the stage; 0 if not known.")]
    figures: Annotated[dict[str, float], Field(description="Figures of the training so far, such as `loss`.")]
    version: Annotated[int | None, Field(description="The version that it published.")]
    sentence: Annotated[str, Field(description="Why it failed or was cancelled.")]
    revision: Annotated[int, Field(description="Grows with every change; the id of the stream's events.")]


class JobDetail(BaseModel):
    """A job with its report."""

    job: JobItem
    report: Annotated[TrainingReport | None, Field(description="Of a job that is done.")]


class Choices(BaseModel):
    """What a job can be about."""

    detectors: Annotated[list[str], Field(description="Window detectors.")]
    classifiers: Annotated[list[str], Field(description="Line classifiers.")]
    thresholds: Annotated[list[str], Field(description="Threshold rules.")]
    training_store: Annotated[bool, Field(description="Whether the region has a training store to learn from.")]
    model: Annotated[str | None, Field(description="Name of the model that the region's engine uses.")]


@router.get("")
def list_jobs(_: Viewer, services: Svc, paging: Paging) -> Page[JobItem]:
    """Jobs, the newest first."""
    conditions = *paging.within(JOBS.c.created), *paging.behind(JOBS.c.created, JOBS.c.id)
    query = sa.select(JOBS).where(*conditions).order_by(JOBS.c.created.desc(), JOBS.c.id.desc())
    return paging.page(services.database.rows(query.limit(paging.limit + 1)), "created", "id", _item)


@router.get("/choices")
def choices(_: Viewer, services: Svc) -> Choices:
    """What can be trained here."""
    region = services.region
    return Choices(
        detectors=list(DETECTORS), classifiers=list(CLASSIFIERS), thresholds=["auto", *RULES],
        training_store=region is not None and region.training is not None,
        model=None if region is None else region.scoring.name,
    )  # fmt: skip


@router.post("", status_code=202)
def create(
    caller: Admin, services: Svc,
    kind: Annotated[JobKind, Form(description="train, or recalibrate the version in service.")] = "train",
    detector: Annotated[str, Form(max_length=40, description="What is trained; see `choices`.")] = "",
    model: Annotated[str, Form(max_length=100, description="Name in the model store; the detector's if empty.")] = "",
    threshold: Annotated[str, Form(max_length=40, description="Threshold rule; auto if empty.")] = "",
    settings: Annotated[str, Form(max_length=4_000, description="Settings of the model as a JSON object.")] = "{}",
    folds: Annotated[int, Form(ge=0, le=20, description="Folds of a cross-fitted threshold; 0 holds out a fifth.")] = 0,
    first: Annotated[float, Form(ge=0.01, le=1, description="Share of the sessions of a log, by time.")] = 1.0,
    seed: Annotated[int, Form(ge=0, lt=1 << 32)] = 0,
    data: Annotated[
        UploadFile | None, File(description="A log, or labelled lines; without it, the training store is used.")
    ] = None,
    labels: Annotated[UploadFile | None, File(description="Labels of a log, as `driftline train` takes them.")] = None,
) -> JobItem:  # fmt: skip
    """Start a training as `driftline train` does it; its version becomes the current one."""
    identity, uploaded = secrets.token_hex(8), services.settings.jobs.path
    folder = uploaded / identity
    job = TrainingJob(
        id=identity, kind=kind, detector=detector, model=model or detector, models=services.models_url,
        region=services.settings.region, data=_place(folder, "data", data), labels=_place(folder, "labels", labels),
        settings=_settings(settings), threshold=threshold, folds=folds, first=first, seed=seed,
        unpacked_bytes=services.settings.jobs.unpacked_bytes,
    )  # fmt: skip
    _check(services, job)
    try:
        for given, place in ((data, job.data), (labels, job.labels)):
            if given is not None and place is not None:
                _store(given, place)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "job.json").write_text(job.model_dump_json(), "utf-8")
        row = _insert(services, caller.name, job)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise ProblemError(507, f"the data cannot be stored in {folder}: {error.strerror}") from error
        raise
    services.audit(caller.name, "job.created", identity, kind=kind, model=job.model, source=row["source"])
    return _item(row)


@router.get("/{identity}")
def show(_: Viewer, services: Svc, identity: JobId) -> JobDetail:
    """One job with its report."""
    row = _row(services, identity)
    report = TrainingReport.model_validate_json(row["report"]) if row["report"] else None
    return JobDetail(job=_item(row), report=report)


@router.get("/{identity}/log", response_class=PlainTextResponse)
def show_log(_: Viewer, services: Svc, identity: JobId) -> PlainTextResponse:
    """The end of a job's log; empty before its start, or if another service ran it."""
    place = Path(_row(services, identity)["folder"]) / identity / "log.txt"
    try:
        with place.open("rb") as file:
            file.seek(max(0, place.stat().st_size - LOG_BYTES))
            return PlainTextResponse(file.read().decode("utf-8", "replace"))
    except FileNotFoundError:
        return PlainTextResponse("")


@router.post("/{identity}/cancel")
def cancel(caller: Admin, services: Svc, identity: JobId) -> JobItem:
    """Cancel a job that waits or runs; a version that is published already stays."""
    row = _row(services, identity)
    now = services.now()
    over = {"state": "cancelled", "ended": now, "sentence": f"cancelled by {caller.name}", "cancelled_by": caller.name}
    if not change_job(services, identity, "waiting", **over):
        if not change_job(services, identity, "running", cancelled_by=caller.name):
            raise ProblemError(409, f"the job is {_row(services, identity)['state']} already")
    else:
        shutil.rmtree(Path(row["folder"]) / identity / "data", ignore_errors=True)
    services.audit(caller.name, "job.cancelled", identity, model=row["model"])
    return _item(_row(services, identity))


@router.get("/{identity}/stream", response_class=StreamingResponse)
async def stream(
    request: Request, _: Viewer, services: Svc, identity: JobId,
    last_event_id: Annotated[str, Header(max_length=20, description="`id` of the last event received.")] = "",
) -> StreamingResponse:  # fmt: skip
    """A job as server-sent events named `job`: its state now, and whenever it changes, until it has ended."""
    await asyncio.to_thread(_row, services, identity)
    open_streams: set[object] = request.app.state.job_streams
    if len(open_streams) >= MAX_STREAMS:
        raise ProblemError(503, f"{MAX_STREAMS} jobs are followed already", {"Retry-After": "30"})
    seen = int(last_event_id) if last_event_id.isdecimal() else -1
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    events = _follow(services, identity, seen, open_streams)
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def _follow(services: Services, identity: str, seen: int, open_streams: set[object]) -> AsyncIterator[str]:
    key, loop = object(), asyncio.get_running_loop()
    open_streams.add(key)
    end_s, ping_s = loop.time() + LIFETIME_S, loop.time() + PING_S
    try:
        yield "retry: 2000\n\n"
        while loop.time() < end_s:
            try:
                found = _item(await asyncio.to_thread(_row, services, identity))
            except ProblemError:  # deleted behind its retention
                return
            except ConnectorError:
                found = None
            if found is not None and found.revision != seen:
                seen, ping_s = found.revision, loop.time() + PING_S
                content = json.dumps(found.model_dump(), ensure_ascii=True, separators=(",", ":"))
                yield f"event: job\nid: {seen}\ndata: {content}\n\n"
            if found is not None and found.state in ENDED:
                return
            if loop.time() > ping_s:
                ping_s = loop.time() + PING_S
                yield ": still here\n\n"
            await asyncio.sleep(POLL_S)
    finally:
        open_streams.discard(key)


def _check(services: Services, job: TrainingJob) -> None:
    """Refuse at once what is known to fail.

    Raises:
        ProblemError: the request names something that does not exist, or the queue is full.
    """
    store = ModelStore(job.models)
    if job.kind == "recalibrate":
        if not job.model or store.current(job.model) is None:
            raise not_found("model", job.model)
    elif job.detector not in (*DETECTORS, *CLASSIFIERS):
        raise ProblemError(422, f"detector: {job.detector!r} is none of {', '.join((*DETECTORS, *CLASSIFIERS))}")
    else:
        try:
            require_own_name(store, job.model, job.detector)
        except ModelStoreError as error:
            raise ProblemError(409, str(error)) from error
    if job.threshold not in ("", "auto", *RULES):
        raise ProblemError(422, f"threshold: {job.threshold!r} is none of auto, {', '.join(RULES)}")
    if "file" in job.settings:
        raise ProblemError(422, "settings: a file of the service's machine cannot be named")
    if job.data is None and (services.region is None or services.region.training is None):
        raise ProblemError(409, "upload data, or add a region with [training] to the service, whose windows are used")


def _insert(services: Services, actor: str, job: TrainingJob) -> Mapping[str, Any]:
    limits = services.settings.jobs
    row = {
        "id": job.id, "kind": job.kind, "model": job.model, "detector": job.detector,
        "source": STORE_SOURCE if job.data is None else job.data.name, "actor": actor,
        "folder": str(limits.path.resolve()), "request": job.model_dump_json(), "state": "waiting",
        "created": services.now(), "attempts": 0, "revision": 0, "done": 0, "total": 0, "version": None,
        **dict.fromkeys(("started", "ended", "cancelled_by", "stage", "report", "sentence"), ""), "figures": "{}",
    }  # fmt: skip
    with services.database.write() as connection:
        waiting = sa.select(sa.func.count()).select_from(JOBS).where(JOBS.c.state == "waiting")
        if (connection.execute(waiting).scalar() or 0) >= limits.waiting:
            raise ProblemError(429, f"{limits.waiting} jobs wait already", {"Retry-After": "60"})
        connection.execute(JOBS.insert().values(**row))
    return row


def _settings(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError as error:
        raise ProblemError(422, f"settings: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ProblemError(422, 'settings: expected a JSON object such as {"filters": 64}')
    return found


def _place(folder: Path, kind: str, given: UploadFile | None) -> Path | None:
    """Where an uploaded file goes: its own name without its path, since the end of it states the format."""
    if given is None:
        return None
    name = re.sub(r"[^A-Za-z0-9._-]", "_", Path(given.filename or "").name).lstrip(".")[-100:]
    return folder / "data" / kind / (name or "uploaded")


def _store(given: UploadFile, place: Path) -> None:
    place.parent.mkdir(parents=True, mode=0o700)
    with place.open("xb") as file:
        shutil.copyfileobj(given.file, file, COPY_BYTES)


def _row(services: Services, identity: str) -> Mapping[str, Any]:
    row = services.database.row(sa.select(JOBS).where(JOBS.c.id == identity))
    if row is None:
        raise not_found("job", identity)
    return row


def _item(row: Mapping[str, Any]) -> JobItem:
    times = {name: row[name] or None for name in ("started", "ended")}
    return JobItem(**{**row, **times, "figures": orjson.loads(row["figures"])})
