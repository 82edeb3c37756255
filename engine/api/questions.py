"""Questions about windows whose label teaches most, as `driftline ask` puts them, and what became of the answers."""

from collections.abc import Iterator
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from connectors.sql_schema import WINDOW_LABELS
from engine.api.actions import Comment
from engine.api.auth import Operator, Viewer
from engine.api.pages import Page, Paging
from engine.api.problems import RESPONSES, not_found
from engine.api.rounds import round_started_ns
from engine.api.services import Svc
from engine.api.versions import Versions, training_store
from engine.api.window_labels import WindowLabel, alerts_among, keys_of, label_windows, window_label, withdraw_label
from engine.offline.ask import pool_of_store, threshold_in_service
from engine.offline.rescore import LabelUse, label_use
from engine.settings import RegionSettings
from federation.storage.learning import Purpose
from foundation.time_text import iso_seconds
from models.storage.model_cards import AnyCard
from models.storage.store import ModelStore

router = APIRouter(prefix="/api/v1/questions", tags=["questions"], responses=RESPONSES)

WindowId = Annotated[str, Path(max_length=64, pattern=r"^[^\x00]+$", description="Id of the window.")]


class QuestionTemplate(BaseModel):
    """A template of the window."""

    text: str
    count: Annotated[int, Field(description="Lines of the window with it.")]


class QuestionItem(BaseModel):
    """A window to be called normal or anomalous."""

    id: Annotated[str, Field(description="Id of the window, also that of its alert.")]
    alert: Annotated[bool, Field(description="Whether it raised an alert.")]
    session: Annotated[str, Field(description="Its session key; empty where only the hash is stored.")]
    time: Annotated[str, Field(description="Event time of its last line.")]
    score: float
    uncertainty: Annotated[float, Field(description="0 (far from the threshold) to 1 (at the threshold).")]
    alike: Annotated[int, Field(description="Windows with the same templates, this one included.")]
    labels: Annotated[int, Field(description="Sessions that an answer labels.")]
    templates: Annotated[list[QuestionTemplate], Field(description="The rarest first.")]


class QuestionQueue(BaseModel):
    """Questions, the one that teaches most first."""

    windows: Annotated[int, Field(description="Complete windows in the training store.")]
    answered: Annotated[int, Field(description="Windows with a label of an operator or of ground truth.")]
    threshold: Annotated[float | None, Field(description="In service; null if no model is published.")]
    items: list[QuestionItem]


class AnswerRequest(BaseModel):
    """An operator's answer."""

    anomalous: bool
    comment: Comment = ""


class UsedLabels(BaseModel):
    """Labels, and how many of them a version agrees with."""

    labels: int
    agrees: int
    train: Annotated[int, Field(description="Labels of sessions that rounds train on.")]
    calibrate: Annotated[int, Field(description="Labels of sessions that the threshold is fitted on.")]
    holdout: Annotated[int, Field(description="Labels of sessions that the gate compares versions on.")]


class LabelReport(BaseModel):
    """What the last round with this region made of the labels of operators."""

    model: str
    version: Annotated[int | None, Field(description="That the round published; null if no round used the region.")]
    round: Annotated[int | None, Field(description="Its number.")]
    started: Annotated[
        str | None, Field(description="Start of the round; the publication, if the service has no coordinator.")
    ]
    everyone: UsedLabels
    caller: UsedLabels
    waiting: Annotated[int, Field(description="Labels that came later; the next round uses them.")]


@router.get("")
def list_questions(
    _: Viewer, services: Svc, limit: Annotated[int, Query(ge=1, le=200, description="Questions.")] = 20
) -> QuestionQueue:
    """Windows of the training store whose label would help most, one of each kind."""
    with training_store(services) as (region, store):
        pool = pool_of_store(store)
    threshold = threshold_in_service(region)
    questions = pool.questions(limit, threshold)
    alerts = alerts_among(services, [question.id for question in questions])
    return QuestionQueue(
        windows=len(pool.ids), answered=int(pool.answered.sum()), threshold=threshold,
        items=[QuestionItem(**found.document(), alert=found.id in alerts) for found in questions],
    )  # fmt: skip


@router.get("/answers")
def list_answers(_: Viewer, services: Svc, paging: Paging) -> Page[WindowLabel]:
    """Answers about windows, newest first; those about alerts are with the alerts."""
    time, identity = WINDOW_LABELS.c.time, WINDOW_LABELS.c.window_id
    query = sa.select(WINDOW_LABELS).where(*paging.within(time), *paging.behind(time, identity))
    rows = services.database.rows(query.order_by(time.desc(), identity.desc()).limit(paging.limit + 1))
    return paging.page(rows, "time", "window_id", window_label)


@router.get("/use")
def show_use(caller: Viewer, services: Svc, versions: Versions) -> LabelReport:
    """Labels that the last round used, and how many of them its version agrees with: all, and the caller's."""
    with training_store(services) as (region, store):
        labels = store.operator_labels()
        own = keys_of(services, store, caller.name)
        card = next(_round_cards(region), None)
        if card is None:
            nothing = _used(LabelUse(0, 0, {}))
            return LabelReport(
                model=region.scoring.name, version=None, round=None, started=None, everyone=nothing, caller=nothing,
                waiting=len(labels),
            )  # fmt: skip
        started_ns = round_started_ns(services, card)
        used = [label for label in labels if label.received_ns <= started_ns]
        pool = pool_of_store(store)
    scores, threshold = versions.scores(region, card.version, pool)
    mine = [label for label in used if label.key in own]
    return LabelReport(
        model=card.name, version=card.version, round=card.round, started=iso_seconds(started_ns),
        everyone=_used(label_use(pool.keys, scores, threshold, used)),
        caller=_used(label_use(pool.keys, scores, threshold, mine)), waiting=len(labels) - len(used),
    )  # fmt: skip


@router.post("/{identity}/answer")
def answer(caller: Operator, services: Svc, identity: WindowId, given: AnswerRequest) -> WindowLabel:
    """Call a window, and those like it, normal or anomalous; the label is in the training store at once."""
    with training_store(services) as (region, store):
        question = pool_of_store(store).question(identity, threshold_in_service(region))
        if question is None:
            raise not_found("window", identity)
        return label_windows(services, store, caller, question, anomalous=given.anomalous, comment=given.comment)


@router.delete("/{identity}/answer")
def withdraw(caller: Operator, services: Svc, identity: WindowId) -> WindowLabel:
    """Withdraw an answer about a window and those like it."""
    with training_store(services) as (_, store):
        return withdraw_label(services, store, caller, identity)


def _round_cards(region: RegionSettings) -> Iterator[AnyCard]:
    """Cards of versions that a round with this region made, the newest first."""
    store, name = ModelStore(region.scoring.store), region.scoring.name
    for version in reversed(store.versions(name)):
        card = store.any_card(name, version)
        if card.round is not None and region.region in card.participants:
            yield card


def _used(use: LabelUse) -> UsedLabels:
    counts = {str(purpose): use.purposes.get(purpose, 0) for purpose in Purpose}
    return UsedLabels(labels=use.labels, agrees=use.agrees, **counts)
