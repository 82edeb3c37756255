"""Settings of the SQL sink and the names of its rows; apart from it, so that they are read without SQLAlchemy."""

from typing import Literal

from pydantic import Field, SecretStr

from connectors.sink_settings import BaseSinkSettings

ALL_TEMPLATES = ""
"""In place of a template: the counts of all of them, each line and each window once."""


class SqlSettings(BaseSinkSettings):
    """Alerts to a SQL database."""

    type: Literal["sql"] = "sql"
    url: SecretStr = Field(
        SecretStr("sqlite:///alerts.db"),
        description="SQLAlchemy URL: `sqlite:///path`, `postgresql+psycopg://user:password@host/database`.",
    )
    keep_days: float | None = Field(
        None,
        gt=0,
        description="Alerts that were made this many days before the newest one are deleted; not set: never.",
    )
    connect_timeout_s: int = Field(5, ge=1, description="How long connecting and a lock may take, in seconds.")
