"""What operators do with alerts and groups; every action is an event of the group's life and in the audit log."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import sqlalchemy as sa
from pydantic import BaseModel, Field

from connectors.channels.alert_text import cause_of
from connectors.sql_schema import ALERTS, EVENTS, FEEDBACK, GROUP_STATES
from engine.api.accounts import Caller
from engine.api.alert_queries import AlertAnswer, Status
from engine.api.problems import ProblemError, not_found
from engine.api.services import Services
from engine.steps.silences import SuppressionRule, add_silence
from federation.storage.feedback import store_feedback

GroupAction = Literal["acknowledge", "resolve", "reopen"]

BECOMES: Mapping[GroupAction, Status] = {"acknowledge": "acknowledged", "resolve": "resolved", "reopen": "open"}

Comment = Annotated[str, Field(max_length=1_000, pattern=r"^[^\x00]*$", description="Reason, kept with the event.")]


class LifeEvent(BaseModel):
    """Something that was decided about a group or one of its alerts."""

    time: str
    actor: str
    event: Annotated[str, Field(description="acknowledge, resolve, reopen, right, wrong or normal.")]
    alert_id: Annotated[str, Field(description="The alert that was answered; empty if it is about the group.")]
    comment: str


class FeedbackResult(BaseModel):
    """What an answer led to."""

    alert: str
    answer: AlertAnswer
    in_training_store: Annotated[
        bool | None,
        Field(description="Whether the window is there to be learnt from; null without a training store."),
    ]
    silence: Annotated[str | None, Field(description="Name of the silence that `normal` made.")]


def act_on_group(
    services: Services, caller: Caller, group: str, action: GroupAction, comment: str, revision: int | None = None
) -> int:
    """Change the status of a group.

    Args:
        services: The running service.
        caller: Who acts.
        group: Id of the group.
        action: What is done.
        comment: Reason.
        revision: Revision that the caller has seen; None for any.

    Returns:
        The new revision.

    Raises:
        ProblemError: 404 without such a group, 412 if it was changed since.
    """
    now, status = services.now(), BECOMES[action]
    with services.database.write() as connection:
        if connection.execute(sa.select(ALERTS.c.id).where(ALERTS.c.group_id == group).limit(1)).first() is None:
            raise not_found("group", group)
        state = sa.select(GROUP_STATES.c.revision).where(GROUP_STATES.c.group_id == group)
        found = connection.execute(state).scalar()
        if revision is not None and revision != (found or 0):
            raise ProblemError(412, f"group {group} was changed by another user; read it again")
        values = {"status": status, "changed": now, "changed_by": caller.name, "revision": (found or 0) + 1}
        if found is None:
            connection.execute(GROUP_STATES.insert().values(group_id=group, **values))
        else:
            connection.execute(GROUP_STATES.update().where(GROUP_STATES.c.group_id == group).values(**values))
        _event(connection, now, caller, action, group, "", comment)
    services.audit(caller.name, f"group.{action}", group, comment=comment)
    return (found or 0) + 1


def answer_alert(
    services: Services, caller: Caller, identity: str, answer: AlertAnswer, comment: str
) -> FeedbackResult:
    """Store an operator's answer to an alert, as `driftline alerts right|wrong|normal` does.

    Raises:
        ProblemError: 404 without such an alert; 409 if `normal` has no template or no file of silences.
        DriftlineError: the training store or the file of silences cannot be written.
    """
    alert = alert_document(services, identity)
    path = silence_path(services) if answer == "normal" else None
    text = cause_of(alert)
    if path is not None and not text:
        raise ProblemError(409, f"alert {identity} does not name the template that caused it; silence one by a pattern")
    training = None if services.region is None else services.region.training
    known = None
    if training is not None:
        known = store_feedback(training, alert, anomalous=answer == "right", now_ns=services.now_ns)
    silence = None
    if path is not None:
        reason = comment or f"normal from now on, after alert {identity}"
        silence = add_silence(path, {"template": exactly(text)}, _signed(services, caller, reason)).name
    now, group = services.now(), str(alert.get("group", ""))
    values = {"answer": answer, "time": now, "actor": caller.name, "comment": comment, "group_id": group}
    with services.database.write() as connection:
        update = FEEDBACK.update().where(FEEDBACK.c.alert_id == identity)
        if not connection.execute(update.values(**values, in_training_store=bool(known))).rowcount:
            insert = FEEDBACK.insert().values(alert_id=identity, **values, in_training_store=bool(known))
            connection.execute(insert)
        _event(connection, now, caller, answer, group, identity, comment)
    services.audit(caller.name, f"alert.{answer}", identity, comment=comment)
    return FeedbackResult(alert=identity, answer=answer, in_training_store=known, silence=silence)


def alert_document(services: Services, identity: str) -> dict[str, Any]:
    """Return the document of an alert.

    Raises:
        ProblemError: it does not exist.
    """
    row = services.database.row(sa.select(ALERTS.c.document).where(ALERTS.c.id == identity))
    if row is None:
        raise not_found("alert", identity)
    found: dict[str, Any] = orjson.loads(row["document"])
    return found


def silence_path(services: Services) -> Path:
    """Return the file of silences that the region's engine reads.

    Raises:
        ProblemError: the service has no region, or the region has no such file.
    """
    region = services.region
    if region is None:
        raise ProblemError(409, "silences belong to a region: name its TOML file as `region` in the service's settings")
    if region.decide.silences is None:
        raise ProblemError(409, 'the region has no file of silences: add silences = "silences.json" to its [decide]')
    return region.decide.silences


def exactly(text: str) -> str:
    """Return a regular expression that fits a template's text only."""
    return f"^{re.escape(text)}$"


def life_of(services: Services, group: str) -> list[LifeEvent]:
    """The newest events of a group's life, newest first."""
    columns = (EVENTS.c[name] for name in LifeEvent.model_fields)
    query = sa.select(*columns).where(EVENTS.c.group_id == group).order_by(EVENTS.c.id.desc()).limit(100)
    return [LifeEvent(**row) for row in services.database.rows(query)]


def silence_of(services: Services, conditions: Mapping[str, Any], comment: str, caller: Caller) -> SuppressionRule:
    """Add a silence to the region's file.

    Raises:
        ProblemError: the region has no file of silences.
        DriftlineError: the conditions are not valid, or the file cannot be written.
    """
    rule = add_silence(silence_path(services), conditions, _signed(services, caller, comment))
    services.audit(caller.name, "silence.created", rule.name, comment=comment)
    return rule


def _signed(services: Services, caller: Caller, comment: str) -> str:
    """A comment with who made it, and when."""
    return f"{comment} ({caller.name}, {services.now()[:10]})".strip()


def _event(
    connection: sa.Connection, time: str, caller: Caller, event: str, group: str, alert: str, comment: str
) -> None:
    connection.execute(EVENTS.insert().values(
        time=time, actor=caller.name, event=event, group_id=group, alert_id=alert, comment=comment,
    ))  # fmt: skip
