"""Deletes what the settings do not keep: decisions about groups, markers, the audit log, ended jobs.

Alerts are deleted by the SQL sink (`keep_days`); the answers to those that are gone are deleted here.
"""

import asyncio
import logging

import sqlalchemy as sa

from connectors.base import ConnectorError
from connectors.sql_schema import ALERTS, AUDIT, EVENTS, FEEDBACK, MARKERS
from engine.api.job_runner import delete_old_jobs
from engine.api.services import Services
from foundation.time_text import NS_PER_S, iso_time

log = logging.getLogger(__name__)

PERIOD_S = 3_600
"""Time between two passes."""

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
    deleted = delete_old_jobs(services, _before(services, services.settings.jobs.keep_days))
    with services.database.write() as connection:
        for table, column, days in (
            (AUDIT, AUDIT.c.time, kept.audit_days), (EVENTS, EVENTS.c.time, kept.events_days),
            (MARKERS, MARKERS.c.time, kept.events_days),
        ):  # fmt: skip
            deleted += connection.execute(table.delete().where(column < _before(services, days))).rowcount
        orphaned = FEEDBACK.c.alert_id.not_in(sa.select(ALERTS.c.id))
        deleted += connection.execute(FEEDBACK.delete().where(orphaned)).rowcount
    return deleted


def _before(services: Services, days: float) -> str:
    return iso_time(services.now_ns() - int(days * DAY_NS))
