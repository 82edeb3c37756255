"""Settings of the parse step."""

import datetime as dt
import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from engine.parsing.formats import Format, find
from engine.parsing.jsonlines import JsonFields
from engine.parsing.templates import TemplateSettings
from engine.parsing.timestamps import TimeRules


class ParseSettings(BaseModel):
    """How the lines of a source are read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = Field(
        default="raw", description="Name of the log format: hdfs, bgl, openstack, iotdb, syslog, json or raw."
    )
    session_key: str = Field(
        default="",
        description="What joins lines into sessions: empty for the format's own rule, the name of another of its rules "
        "(none: no sessions), or a regular expression with a group named key. Ignored for json, see json_fields.",
    )
    timezone: str = Field(default="UTC", description="IANA name of the zone of times that are written without one.")
    earliest: dt.date = Field(
        default=dt.date(1990, 1, 1), description="Lines from before this day (UTC) are dead letters."
    )
    max_future_s: float = Field(
        default=86_400.0,
        ge=0,
        description="Lines whose time is later than their arrival by more than this are dead letters.",
    )
    max_message_bytes: int = Field(
        default=16_384, ge=64, description="Longer lines are cut to this many bytes when their template is looked for."
    )
    max_shapes: int = Field(
        default=50_000,
        ge=1,
        description="Shapes of lines to remember per partition; when more have come, all are forgotten. Costs speed "
        "and memory only, results do not change.",
    )
    templates: TemplateSettings = Field(default=TemplateSettings(), description="How messages become templates.")
    json_fields: JsonFields = Field(
        default=JsonFields(), description="Where things are in JSON lines; for the format json."
    )

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"unknown time zone {value!r}: an IANA name such as Europe/Berlin is needed") from error
        return value

    @field_validator("format")
    @classmethod
    def _format_exists(cls, value: str) -> str:
        return find(value).name

    @model_validator(mode="after")
    def _session_rule_exists(self) -> "ParseSettings":
        self.session_rule()
        return self

    def times(self) -> TimeRules:
        """The rules for event times."""
        midnight = dt.datetime.combine(self.earliest, dt.time(), dt.UTC)
        zone = None if self.timezone == "UTC" else ZoneInfo(self.timezone)
        return TimeRules(zone, int(midnight.timestamp()) * 1_000_000_000, self.max_future_s)

    def session_rule(self) -> tuple[bytes, ...]:
        """The patterns that find the session key, first match first.

        Raises:
            ValueError: the setting is neither a rule of the format nor a pattern with a group `key`.
        """
        return session_rule(find(self.format), self.session_key)


def session_rule(format: Format, setting: str) -> tuple[bytes, ...]:
    """See `ParseSettings.session_rule`."""
    if not setting:
        return next(iter(format.sessions.values()), ())
    if setting in format.sessions:
        return format.sessions[setting]
    if "(?P<key>" not in setting:
        rules = ", ".join(format.sessions) or "none"
        raise ValueError(
            f"session_key {setting!r} is no rule of format {format.name} (there are: {rules}) and no regular "
            "expression with a group (?P<key>...)"
        )
    try:
        re.compile(setting.encode())
    except re.error as error:
        raise ValueError(f"session_key {setting!r} is not a regular expression: {error}") from error
    return (setting.encode(),)
