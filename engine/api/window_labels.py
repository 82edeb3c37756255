"""Answers about windows of the training store: the label there, and who gave it here, so that it can be withdrawn."""

import json
from collections.abc import Mapping, Sequence, Set
from typing import Annotated, Any

import orjson
import sqlalchemy as sa
from pydantic import BaseModel, Field

from connectors.sql_database import upsert
from connectors.sql_schema import ALERTS, FEEDBACK, WINDOW_LABELS
from engine.api.accounts import Caller
from engine.api.problems import not_found
from engine.api.services import Services
from engine.offline.ask import LabelQuestion
from federation.storage.answers import AnswerStore

TITLE_CHARS = 500


class WindowLabel(BaseModel):
    """An operator's answer about a window and those like it."""

    window_id: str
    anomalous: bool
    time: str
    actor: str
    comment: str
    title: Annotated[str, Field(description="Text of the window's rarest template.")]
    sessions: Annotated[int, Field(description="Sessions that the answer labels.")]


def label_windows(
    services: Services, store: AnswerStore, caller: Caller, question: LabelQuestion, *, anomalous: bool, comment: str
) -> WindowLabel:
    """Label the sessions of a question, as `driftline ask` does, and record who did.

    Raises:
        StorageError: the training store cannot be written; nothing was recorded.
        SinkUnavailableError: the database cannot be written; the label is in the training store.
    """
    assert services.region is not None
    store.answer(question.keys, anomalous=anomalous, time_ns=services.now_ns())
    now = services.now()
    row: dict[str, Any] = {
        "window_id": question.id, "region": services.region.region, "anomalous": anomalous, "time": now,
        "actor": caller.name, "comment": comment, "title": question.templates[0][0][:TITLE_CHARS],
        "sessions": json.dumps([key.hex() for key in question.keys]),
    }  # fmt: skip
    with services.database.write() as connection:
        before = _row(connection, question.id)
        if before is not None:  # a window came since, so the first answer may have labelled other sessions
            keys = dict.fromkeys([*json.loads(before["sessions"]), *json.loads(row["sessions"])])
            row["sessions"] = json.dumps(list(keys))
        names = [name for name in row if name != "window_id"]
        upsert(connection, WINDOW_LABELS, [row], lambda excluded: {name: excluded[name] for name in names})
    services.audit(caller.name, "window.labelled", question.id, anomalous=anomalous, comment=comment)
    return window_label(row)


def withdraw_label(services: Services, store: AnswerStore, caller: Caller, identity: str) -> WindowLabel:
    """Withdraw an answer; labels of other provenance count again, and so do other answers about the same sessions.

    Raises:
        ProblemError: the window has no answer.
        StorageError: the training store cannot be written.
    """
    with services.database.write() as connection:
        row = _row(connection, identity)
        if row is None:
            raise not_found("answer about window", identity)
        connection.execute(WINDOW_LABELS.delete().where(WINDOW_LABELS.c.window_id == identity))
        sessions = {bytes.fromhex(key) for key in json.loads(row["sessions"])}
        remaining = _answers(connection, store, sessions)
        store.withdraw(sessions - remaining.keys())
        for anomalous in (False, True):
            keys = [key for key, label in remaining.items() if label is anomalous]
            store.answer(keys, anomalous=anomalous, time_ns=services.now_ns())
    services.audit(caller.name, "window.label_withdrawn", identity)
    return window_label(row)


def window_label(row: Mapping[str, Any]) -> WindowLabel:
    """Make the answer of a row."""
    values = {name: row[name] for name in WindowLabel.model_fields if name != "sessions"}
    return WindowLabel(**values, sessions=len(json.loads(row["sessions"])))


def keys_of(services: Services, store: AnswerStore, actor: str) -> frozenset[bytes]:
    """Hashes of the sessions that a user labelled: by answers about windows, and about alerts."""
    labelled = sa.select(WINDOW_LABELS.c.sessions).where(WINDOW_LABELS.c.actor == actor)
    windows = {
        bytes.fromhex(key) for row in services.database.rows(labelled) for key in json.loads(row["sessions"])
    }  # fmt: skip
    answered = (
        sa.select(ALERTS.c.id, ALERTS.c.document)
        .join(FEEDBACK, FEEDBACK.c.alert_id == ALERTS.c.id)
        .where(FEEDBACK.c.actor == actor)
    )
    names = (orjson.loads(row["document"]).get("session") or row["id"] for row in services.database.rows(answered))
    return frozenset(windows | set(store.hashed(names)))


def alerts_among(services: Services, windows: Sequence[str]) -> frozenset[str]:
    """Which of these windows raised an alert."""
    query = sa.select(ALERTS.c.id).where(ALERTS.c.id.in_(windows))
    return frozenset(row["id"] for row in services.database.rows(query))


def _answers(connection: sa.Connection, store: AnswerStore, sessions: Set[bytes]) -> dict[bytes, bool]:
    """The latest answer about each of these sessions, about a window or an alert."""
    given: list[tuple[str, bytes, bool]] = []
    for row in connection.execute(sa.select(WINDOW_LABELS)).mappings():
        given += [(row["time"], bytes.fromhex(key), row["anomalous"]) for key in json.loads(row["sessions"])]
    stored = sa.select(ALERTS.c.id, ALERTS.c.document, FEEDBACK.c.answer, FEEDBACK.c.time)
    stored = stored.join(FEEDBACK, FEEDBACK.c.alert_id == ALERTS.c.id).where(FEEDBACK.c.in_training_store)
    alerts = connection.execute(stored).mappings().all()
    hashes = store.hashed(orjson.loads(row["document"]).get("session") or row["id"] for row in alerts)
    given += [(row["time"], key, row["answer"] == "right") for row, key in zip(alerts, hashes, strict=True)]
    return {key: label for _, key, label in sorted(given) if key in sessions}


def _row(connection: sa.Connection, identity: str) -> Mapping[str, Any] | None:
    query = sa.select(WINDOW_LABELS).where(WINDOW_LABELS.c.window_id == identity)
    found = connection.execute(query).mappings().first()
    return None if found is None else dict(found)
