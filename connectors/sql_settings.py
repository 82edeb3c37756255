"""Settings of the SQL sink and the names of its rows; apart from it, so that they are read without SQLAlchemy."""

from typing import Literal

from pydantic import ConfigDict, Field, SecretStr

from connectors.sink_settings import BaseSinkSettings

ALL_TEMPLATES = ""
"""In place of a template: the counts of all of them, each line and each window once."""


class SqlSettings(BaseSinkSettings):
    """Alerts to a SQL database."""

    model_config = ConfigDict(serialize_by_alias=True)  # settings are read back from what they are written as

    type: Literal["sql"] = "sql"
    url: SecretStr = Field(
        SecretStr("sqlite:///alerts.db"),
        description="SQLAlchemy URL: `sqlite:///path`, `postgresql+psycopg://user:password@host/database`.",
    )
    table: str = Field(
        "alerts",
        pattern=r"^[a-z_][a-z0-9_]*$",
        max_length=48,
        description="Table of the alerts. The other tables have fixed names.",
    )
    schema_name: str | None = Field(
        None,
        alias="schema",
        pattern=r"^[a-z_][a-z0-9_]*$",
        max_length=63,
        description="PostgreSQL: schema of all tables, created if missing; not set: the one of the user.",
    )
    timestamptz: bool = Field(
        False,
        description="PostgreSQL: add the columns `first_at`, `last_at` and `created_at` of type `timestamptz` to the "
        "table of the alerts, computed by the database from the times that are text.",
    )
    keep_days: float | None = Field(
        None,
        gt=0,
        description="Alerts that were made this many days before the newest one are deleted; not set: never.",
    )
    connect_timeout_s: int = Field(5, ge=1, description="How long connecting and a lock may take, in seconds.")
