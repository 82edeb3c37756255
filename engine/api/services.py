"""What routes work with, made once for a running service."""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from argon2 import PasswordHasher
from fastapi import Depends, Request

from connectors.sql_schema import AUDIT
from connectors.sql_settings import SqlSettings
from engine.api.accounts import Accounts
from engine.api.database import Database
from engine.api.rate_limit import RateLimit
from engine.api.settings import ServeSettings
from engine.settings import CoordinatorSettings, RegionSettings, load, load_coordinator
from foundation.time_text import iso_time


@dataclass(frozen=True, slots=True)
class Services:
    """The stores and limits of a running service.

    Attributes:
        settings: Of the service.
        region: The region that it belongs to, if any.
        coordinator: The coordinator that it belongs to, if any.
        database: The SQL store.
        accounts: Users and their keys.
        logins, predictions: Limits by address, and by user.
        setup_token: What creates the first administrator, once.
        now_ns: Wall clock.
        models_url: Folder or URL of the model store.
    """

    settings: ServeSettings
    region: RegionSettings | None
    coordinator: CoordinatorSettings | None
    database: Database
    accounts: Accounts
    logins: RateLimit
    predictions: RateLimit
    now_ns: Callable[[], int]
    models_url: str
    setup_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @classmethod
    def from_settings(
        cls,
        settings: ServeSettings,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
        hasher: PasswordHasher | None = None,
    ) -> "Services":
        """Open the stores that settings name.

        Raises:
            DriftlineError: a file of settings cannot be used, or the database cannot be opened.
        """
        region = None if settings.region is None else load(settings.region)
        coordinator = None if settings.coordinator is None else load_coordinator(settings.coordinator)
        database = Database(_store_of(settings, region), monotonic_s)
        limits = settings.requests
        models = settings.models
        if not models and coordinator is not None:
            models = coordinator.store
        if not models and region is not None and region.model is not None:
            models = region.model.store
        return cls(
            settings, region, coordinator, database, Accounts(database, now_ns, settings.session_hours, hasher),
            RateLimit(limits.logins_per_minute, monotonic_s), RateLimit(limits.predictions_per_minute, monotonic_s),
            now_ns, models or "models-store",
        )  # fmt: skip

    @property
    def model(self) -> str | None:
        """Name of the model that the region serves, or else of the coordinator's; None without either."""
        if self.region is not None and self.region.model is not None:
            return self.region.model.name
        return None if self.coordinator is None else self.coordinator.model

    def now(self) -> str:
        """The wall clock as text, as the store's tables have it."""
        return iso_time(self.now_ns())

    def audit(self, actor: str, action: str, subject: str, **detail: Any) -> None:
        """Record who changed what.

        Raises:
            SinkUnavailableError: the database cannot be written now.
        """
        with self.database.write() as connection:
            connection.execute(AUDIT.insert().values(
                time=self.now(), actor=actor, action=action, subject=subject, detail=json.dumps(detail),
            ))  # fmt: skip


def _store_of(settings: ServeSettings, region: RegionSettings | None) -> SqlSettings:
    if settings.store is not None:
        return settings.store
    sinks = () if region is None else region.sinks
    return next((sink for sink in sinks if isinstance(sink, SqlSettings)), SqlSettings())


def services_of(request: Request) -> Services:
    """Return the services of the application that answers a request."""
    found: Services = request.app.state.services
    return found


Svc = Annotated[Services, Depends(services_of)]
