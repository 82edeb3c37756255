"""Deletes what the settings do not keep: old alerts, events of their life, markers, and the audit log."""

import asyncio
import logging

import sqlalchemy as sa

from connectors.base import ConnectorError
from connectors.sql_schema import ALERTS, AUDIT, EVENTS, FEEDBACK, MARKERS
from engine.api.services import Services
from foundation.time_text import NS_PER_S, iso_time

log = logging.getLogger(__name__)

PERIOD_S = 3_600
"""Time between two passes."""

BATCH = 5_000
"""Alerts deleted in one transaction, so that an engine that writes alerts waits for milliseconds only."""

DAY_NS = 86_400 * NS_PER_S


async def keep_bounded(services: Services) -> None:
    """Delete once every hour, until the task is cancelled; a database that fails is tried again at the next pass."""
    while True:
        try:
            deleted = await asyncio.to_thread(delete_old, services)
            if deleted:
                log.info("%d rows behind the retention were deleted", deleted)
        except ConnectorError as error:
            log.error("the retention waits for its next pass: %s", error)
        await asyncio.sleep(PERIOD_S)


def delete_old(services: Services) -> int:
    """Delete the rows behind the retention.

    Returns:
        How many were deleted.

    Raises:
        SinkUnavailableError: the database cannot be written now.
    """
    kept = services.settings.retention
    deleted = 0
    with services.database.write() as connection:
        for table, column, days in (
            (AUDIT, AUDIT.c.time, kept.audit_days), (EVENTS, EVENTS.c.time, kept.events_days),
            (MARKERS, MARKERS.c.time, kept.events_days),
        ):  # fmt: skip
            deleted += connection.execute(table.delete().where(column < _before(services, days))).rowcount
    if kept.alerts_days is not None:
        deleted += _delete_alerts(services, _before(services, kept.alerts_days))
    return deleted


def _delete_alerts(services: Services, before: str) -> int:
    """Delete alerts that were made before a time, with their answers; labels in a training store stay."""
    deleted = 0
    oldest = sa.select(ALERTS.c.id).where(ALERTS.c.created < before).order_by(ALERTS.c.created).limit(BATCH)
    while names := [row["id"] for row in services.database.rows(oldest)]:
        with services.database.write() as connection:
            connection.execute(FEEDBACK.delete().where(FEEDBACK.c.alert_id.in_(names)))
            deleted += connection.execute(ALERTS.delete().where(ALERTS.c.id.in_(names))).rowcount
    return deleted


def _before(services: Services, days: float) -> str:
    return iso_time(services.now_ns() - int(days * DAY_NS))
