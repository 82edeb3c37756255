"""Federated rounds of the coordinator that the service belongs to: the ledger, the audit log, a round on request."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from engine.api.actions import Comment
from engine.api.auth import Operator, Viewer
from engine.api.problems import RESPONSES, ProblemError, not_found
from engine.api.services import Services, Svc
from engine.settings import CoordinatorSettings
from foundation.time_text import iso_millis
from models.storage.model_cards import AnyCard

if TYPE_CHECKING:
    from federation.coordinator.ledger import Ledger
    from federation.coordinator.records import Round
    from federation.round.round_files import StepReport

router = APIRouter(prefix="/api/v1/rounds", tags=["rounds"], responses=RESPONSES)


class RoundVerdict(BaseModel):
    """The gate's verdict in one region."""

    region: str
    standing: str
    adopts: bool
    before: Annotated[float, Field(description="F1, accuracy or macro F1 of the current model.")]
    after: Annotated[float, Field(description="The same of the candidate.")]
    labelled: int


class RoundStepItem(BaseModel):
    """A step that the round has done with the regions."""

    name: Annotated[str, Field(description="hello, templates, pass, threshold, cross-fitting or gate.")]
    time: str
    figures: Annotated[dict[str, float | str], Field(description="Figures of the step.")]


class RegionTraffic(BaseModel):
    """What travelled between the coordinator and a region: weights and figures, never lines."""

    region: str
    sent: Annotated[int, Field(description="Bytes to the region.")]
    received: Annotated[int, Field(description="Bytes from the region.")]


class RoundItem(BaseModel):
    """A round."""

    round_id: str
    number: int
    model: str
    version: Annotated[int, Field(description="Version that it starts from.")]
    published: Annotated[int | None, Field(description="Version that it published.")]
    step: Annotated[str, Field(description="Last completed step: planned, started, judged, published, audited, done.")]
    outcome: str
    reason: Annotated[str, Field(description="Why it was planned.")]
    sentence: Annotated[str, Field(description="Why it has this outcome.")]
    planned: str
    started: str | None
    ended: str | None
    participants: list[str]
    missing: list[str]
    refusals: Annotated[list[str], Field(description="Replies that were not used, with their reasons.")]
    verdicts: list[RoundVerdict]
    held: Annotated[dict[str, int], Field(description="Regions that keep an earlier version.")]
    examples: Annotated[int, Field(description="Windows trained on in the last pass.")]
    epsilon: float | None
    steps: Annotated[list[RoundStepItem], Field(description="Steps that are done, also of a round that runs.")]
    traffic: Annotated[
        list[RegionTraffic], Field(description="Bytes that travelled so far; those of secure aggregation do not count.")
    ]


class RegionAttendance(BaseModel):
    """How a region attends rounds."""

    name: str
    attended: int
    missed: Annotated[int, Field(description="Rounds in a row that it was missing from.")]
    last_round: str


class RoundsReport(BaseModel):
    """The coordinator's rounds, the newest first."""

    running: Annotated[bool, Field(description="Whether a coordinator runs in this folder.")]
    waiting: Annotated[str | None, Field(description="What the coordinator waits for.")]
    triggers: Annotated[list[str], Field(description="Reasons for a round that wait for one.")]
    regions: list[RegionAttendance]
    rounds: list[RoundItem]


class RoundAuditEntry(BaseModel):
    """An entry of the chain of hashes."""

    seq: int
    time: str
    event: str
    body: dict[str, Any]
    sha256: str


class RoundAudit(BaseModel):
    """The audit log of rounds, publications and rollbacks."""

    intact: Annotated[bool, Field(description="Whether every entry is as it was written.")]
    fault: Annotated[str | None, Field(description="Which entry was changed.")]
    entries: Annotated[list[RoundAuditEntry], Field(description="In order; empty if the log is not intact.")]


class StartRequest(BaseModel):
    """Why a round is wanted."""

    reason: Comment = ""


class StartResult(BaseModel):
    """A round that was asked for."""

    trigger: Annotated[str, Field(description="Id of the request; the coordinator plans a round for it.")]
    running: Annotated[bool, Field(description="Whether a coordinator runs that can plan it now.")]


@router.get("")
def list_rounds(
    _: Viewer, services: Svc, limit: Annotated[int, Query(ge=1, le=200, description="Newest rounds.")] = 50
) -> RoundsReport:
    """The newest rounds, the regions, and what the coordinator waits for."""
    from engine.runtime.federation_wiring import is_running

    settings = coordinator_of(services)
    with _ledger(settings) as ledger:
        return RoundsReport(
            running=is_running(settings), waiting=ledger.fact("waiting") or None,
            triggers=[trigger.text for trigger in ledger.pending()],
            regions=[RegionAttendance(name=r.name, attended=r.attended, missed=r.missed, last_round=r.last_round)
                     for r in ledger.regions()],
            rounds=[_item(settings, found) for found in ledger.rounds(limit)],
        )  # fmt: skip


@router.get("/audit")
def audit(_: Viewer, services: Svc) -> RoundAudit:
    """The audit log of rounds, verified from its first entry to the last one that the ledger has seen."""
    from engine.runtime.federation_wiring import audit_of
    from federation.errors import TamperedError

    settings = coordinator_of(services)
    with _ledger(settings) as ledger:
        head = ledger.fact("audit_head")
    try:
        entries = audit_of(settings).verify(tuple(head) if head else None)
    except TamperedError as error:
        return RoundAudit(intact=False, fault=str(error), entries=[])
    found = [
        RoundAuditEntry(seq=e.seq, time=e.time, event=e.event, body=dict(e.body), sha256=e.sha256) for e in entries
    ]
    return RoundAudit(intact=True, fault=None, entries=found)


@router.get("/{round_id}")
def show(
    _: Viewer, services: Svc, round_id: Annotated[str, Path(max_length=100, pattern=r"^[A-Za-z0-9-]+$")]
) -> RoundItem:
    """One round."""
    settings = coordinator_of(services)
    with _ledger(settings) as ledger:
        found = ledger.find_round(round_id)
    if found is None:
        raise not_found("round", round_id)
    return _item(settings, found)


@router.post("", status_code=202)
def start(caller: Operator, services: Svc, given: StartRequest) -> StartResult:
    """Ask for a round; a running coordinator plans it within seconds, otherwise the next one does."""
    from engine.runtime.federation_wiring import is_running
    from federation.coordinator.records import RoundTrigger

    settings = coordinator_of(services)
    identity = f"api-{secrets.token_hex(8)}"
    text = f"{given.reason or 'requested through the API'} ({caller.name})"
    with _ledger(settings) as ledger:
        ledger.record([RoundTrigger(identity, "manual", "", services.now_ns(), 0, text)])
    services.audit(caller.name, "round.requested", identity, reason=given.reason)
    return StartResult(trigger=identity, running=is_running(settings))


def round_started_ns(services: Services, card: AnyCard) -> int:
    """When the round of a version started: by the ledger, if the service has it, else when it published the version."""
    published_ns = card.created_ns
    if services.coordinator is None:
        return published_ns
    with _ledger(services.coordinator) as ledger:
        found = ledger.find_round(str(card.data.get("round_id", "")))
    return published_ns if found is None else found.started_ns


def ended_rounds(services: Services, limit: int) -> list[RoundItem]:
    """The newest rounds that have ended; none without a coordinator."""
    if services.coordinator is None:
        return []
    with _ledger(services.coordinator) as ledger:
        return [_item(services.coordinator, found) for found in ledger.rounds(limit) if found.ended_ns]


def coordinator_of(services: Services) -> CoordinatorSettings:
    """Return the settings of the coordinator.

    Raises:
        ProblemError: the service belongs to none.
    """
    if services.coordinator is None:
        raise ProblemError(409, "rounds belong to a coordinator: name its TOML file as `coordinator` in the settings")
    return services.coordinator


@contextmanager
def _ledger(settings: CoordinatorSettings) -> "Iterator[Ledger]":
    from engine.runtime.federation_wiring import ledger_of

    with ledger_of(settings) as ledger:
        yield ledger


def _item(settings: CoordinatorSettings, found: "Round") -> RoundItem:
    steps = _steps(settings, found.round_id)
    return RoundItem(
        round_id=found.round_id, number=found.number, model=found.model, version=found.version,
        published=found.published or None, step=str(found.step), outcome=found.outcome, reason=found.reason,
        sentence=found.sentence, planned=iso_millis(found.planned_ns),
        started=iso_millis(found.started_ns) if found.started_ns else None,
        ended=iso_millis(found.ended_ns) if found.ended_ns else None,
        participants=list(found.participants), missing=list(found.missing), refusals=list(found.refusals),
        verdicts=[
            RoundVerdict(
                region=v.region, standing=str(v.standing), adopts=v.adopts, before=v.before, after=v.after,
                labelled=v.labelled,
            )
            for v in found.verdicts
        ],
        held=dict(found.held), examples=found.examples, epsilon=found.epsilon,
        steps=[
            RoundStepItem(name=step.name, time=iso_millis(step.time_ns), figures=_shown(step.figures)) for step in steps
        ],
        traffic=_traffic(steps[-1].figures) if steps else [],
    )  # fmt: skip


def _steps(settings: CoordinatorSettings, round_id: str) -> "Sequence[StepReport]":
    """The steps of a round as its ServerApp has written them; none if they cannot be read."""
    from engine.runtime.federation_wiring import rounds_folder
    from federation.errors import StorageError
    from federation.round.round_files import read_steps

    try:
        return read_steps(rounds_folder(settings) / round_id)
    except StorageError:
        return ()


def _shown(figures: Mapping[str, float | str]) -> dict[str, float | str]:
    from federation.round.fleet import BYTES_FROM, BYTES_TO

    return {name: value for name, value in figures.items() if not name.startswith((BYTES_TO, BYTES_FROM))}


def _traffic(figures: Mapping[str, float | str]) -> list[RegionTraffic]:
    from federation.round.fleet import BYTES_FROM, BYTES_TO

    return [
        RegionTraffic(region=region, sent=int(sent), received=int(figures.get(f"{BYTES_FROM}{region}", 0)))
        for name, sent in figures.items()
        if name.startswith(BYTES_TO)
        for region in (name.removeprefix(BYTES_TO),)
    ]
