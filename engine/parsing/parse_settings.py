"""Settings of the parse step."""

import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from engine.formats.json_fields import JsonFields
from engine.formats.registry import AUTO, FORMATS, Format, find
from engine.formats.timestamps import TimeRules
from engine.parsing.template_settings import TemplateSettings
from foundation.bounded_pattern import BoundedPattern, UserPatternError


class ParseSettings(BaseModel):
    """How the lines of a source are read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = Field(
        default="auto",
        description="Name of the log format, see docs/formats.md; auto detects the format of every line.",
    )
    session_key: str = Field(
        default="",
        description="Session rule: empty for the format's default, the name of another of its rules (none: no "
        "sessions), or a regular expression with a group named key. Ignored for json, see json_fields.",
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
        default=16_384,
        ge=64,
        description="Number of bytes of a line from which its template is mined; longer lines are cut for this only.",
    )
    max_shapes: int = Field(
        default=50_000,
        ge=1,
        description="Number of line layouts cached per partition; when it is exceeded, the cache is cleared. "
        "Affects speed and memory, not results.",
    )
    max_join_lines: int = Field(
        default=500,
        ge=0,
        description="Maximum number of lines of a stack trace that join the record before them, including "
        "interleaved lines of a container's other stream; 0 joins none.",
    )
    max_join_bytes: int = Field(
        default=262_144,
        ge=0,
        description="Maximum number of bytes of a stack trace that join the record before them, and of a long line "
        "in a container's log that is joined from pieces; 0 joins none.",
    )
    max_join_wait_s: float = Field(
        default=5.0,
        ge=0,
        description="Seconds without a further line after which a record over several lines counts as complete, such "
        "as the last query of a slow log.",
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
        if self.format != AUTO:
            self.session_rule(find(self.format))
        elif "(?P<key>" in self.session_key:
            _own_rule(self.session_key)
        elif self.session_key and not any(self.session_key in entry.sessions for entry in FORMATS.values()):
            raise ValueError(f"session_key {self.session_key!r} is not a rule of any format")
        return self

    def times(self) -> TimeRules:
        """The rules for event times."""
        midnight = dt.datetime.combine(self.earliest, dt.time(), dt.UTC)
        zone = None if self.timezone == "UTC" else ZoneInfo(self.timezone)
        return TimeRules(zone, int(midnight.timestamp()) * 1_000_000_000, self.max_future_s)

    def session_rule(self, format: Format) -> tuple[bytes, ...]:
        """The patterns that find the session key in lines of a format, first match first.

        Where formats are detected, one without the rule of that name has no sessions.

        Raises:
            ValueError: the setting is neither a rule of the format nor a pattern with a group `key`.
        """
        setting = self.session_key
        if not setting:
            return next(iter(format.sessions.values()), ())
        if setting in format.sessions:
            return format.sessions[setting]
        if "(?P<key>" in setting:
            return _own_rule(setting)
        if self.format == AUTO:
            return ()
        rules = ", ".join(format.sessions) or "none"
        raise ValueError(
            f"session_key {setting!r} is neither a rule of format {format.name} (rules: {rules}) nor a regular "
            "expression with a group (?P<key>...)"
        )


def _own_rule(setting: str) -> tuple[bytes, ...]:
    try:
        BoundedPattern(setting.encode())
    except UserPatternError as error:
        raise ValueError(f"session_key {error}") from error
    return (setting.encode(),)
