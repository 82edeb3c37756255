"""Settings of one region's engine: the only place that reads TOML and the environment.

`RegionSettings` composes the settings that each component declares beside its code. A value is taken
from the environment variable `DRIFTLINE_<SECTION>__<KEY>` if set (secrets belong there), else from
the region's TOML file, else from the default. Unknown keys and wrong types are refused, each with
one sentence that names the file, the key, the value and what would be right.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from connectors.registry import SinkSettings, SourceSettings
from engine.alert import AlertSettings
from engine.decide import DecideSettings
from engine.observe.logs import LogSettings
from engine.observe.telemetry import TelemetrySettings
from engine.parse import ParseSettings
from engine.score import ScoreSettings
from engine.swap import ModelSettings
from engine.window import WindowSettings


class SettingsFileError(Exception):
    """A region's settings cannot be used; the message has one line a fault."""


class RecoverySettings(BaseModel):
    """What survives a crash, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Field(
        description="Folder for positions and state. It holds pickled data: only the engine may write to it."
    )
    snapshot_s: Annotated[float, Field(gt=0)] = Field(
        1.0, description="Seconds between two snapshots: what is read again after a crash, and how long alerts "
        "may wait for their acknowledgement to be recorded."
    )  # fmt: skip


class RegionSettings(BaseSettings):
    """Everything one region's engine is told."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="DRIFTLINE_", env_nested_delimiter="__", nested_model_default_partial_update=True
    )

    region: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)] = Field(
        description="Name of the region, on every alert, metric and trace."
    )
    route: Literal["partition", "session"] = Field(
        "partition",
        description="`partition`: all lines of a session come through one partition (or file). `session`: they do not; "
        "lines are sent to the shard of their session.",
    )
    shards: Annotated[int, Field(ge=1, le=1024)] = Field(
        1, description="With `route = \"session\"`: number of shards, at least the number of processes in the cluster."
    )  # fmt: skip
    drain_s: Annotated[float, Field(gt=0)] = Field(
        8.0, description="Seconds that a requested stop waits for sinks that do not acknowledge."
    )
    source: SourceSettings = Field(description="Where the lines come from.")
    parse: ParseSettings = Field(description="How a line is taken apart.")
    window: WindowSettings = Field(description="How lines become windows.")
    model: ModelSettings = Field(description="Which model scores the windows.")
    score: ScoreSettings = Field(default_factory=ScoreSettings, description="How windows are gathered for the model.")
    decide: DecideSettings = Field(default_factory=DecideSettings, description="How scores become alerts.")
    alert: AlertSettings = Field(default_factory=AlertSettings, description="What an alert quotes.")
    sinks: Annotated[tuple[SinkSettings, ...], Field(min_length=1)] = Field(description="Where alerts go.")
    dead_letters: SinkSettings = Field(description="Where lines go that could not be processed.")
    recovery: RecoverySettings = Field(description="What survives a crash.")
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings, description="Metrics, health, traces.")
    log: LogSettings = Field(default_factory=LogSettings, description="The engine's own log.")

    @model_validator(mode="after")
    def _shards_need_routing(self) -> "RegionSettings":
        if self.route == "partition" and self.shards != 1:
            raise ValueError(f'shards = {self.shards} needs route = "session"; with route = "partition" it must be 1')
        return self

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        """The environment wins over the file, so that secrets need not stand in it."""
        return env_settings, init_settings

    def secrets(self) -> list[str]:
        """Every secret value in here, so that logs can mask them."""
        return list(_secret_values(self))

    def fingerprint(self) -> str:
        """What recovery state depends on: state made under another fingerprint must not be loaded."""
        parts = {
            "source": self.source.model_dump(mode="json", include={"type", "topic", "path", "paths"}),
            "parse": self.parse.model_dump(mode="json"),
            "window": self.window.model_dump(mode="json"),
            "route": self.route,
            "shards": self.shards,
        }
        return json.dumps(parts, sort_keys=True)


def _secret_values(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secret_values(getattr(value, name))
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _secret_values(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _secret_values(part)


def load(path: Path) -> RegionSettings:
    """The settings in a TOML file, with the environment's values over them.

    Raises:
        SettingsFileError: the file is missing, is not TOML, or says something that cannot be used.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise SettingsFileError(f"{path}: no such file; give the path of a region's TOML file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsFileError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsFileError(f"{path}: not valid TOML: {error}") from error
    return from_mapping(content, str(path))


def from_mapping(content: dict[str, Any], origin: str) -> RegionSettings:
    """Like `load`, for content that was read already; `origin` names it in messages."""
    try:
        return RegionSettings(**content)
    except ValidationError as error:
        raise SettingsFileError("\n".join(f"{origin}: {line}" for line in _sentences(error))) from error


def _sentences(error: ValidationError) -> list[str]:
    """One sentence a fault: which key, which value, what would be right."""
    lines = []
    for fault in error.errors(include_url=False):
        where = ".".join(str(part) for part in fault["loc"] if not _is_union_tag(part, fault)) or "settings"
        if fault["type"] == "extra_forbidden":
            known = _known_keys(fault["loc"])
            lines.append(f"{where}: unknown key" + (f"; known keys are {', '.join(known)}" if known else ""))
        elif fault["type"] == "missing":
            lines.append(f"{where}: missing; it has to be set")
        else:
            value = "***" if _is_secret(where) else repr(fault["input"])
            lines.append(f"{where}: {fault['msg'].removeprefix('Value error, ')}, got {value[:200]}")
    return lines


def _is_secret(where: str) -> bool:
    return any(word in where.lower() for word in ("password", "secret", "token", "sasl", "key_pem"))


def _is_union_tag(part: int | str, fault: Any) -> bool:
    """Pydantic puts the chosen variant of a union into the path; it is no key of the file."""
    loc = fault["loc"]
    return isinstance(part, str) and loc.index(part) in (1, 2) and part in _UNION_TAGS.get(str(loc[0]), ())


def _union_tags() -> dict[str, set[str]]:
    tags: dict[str, set[str]] = {}
    for name in ("source", "window", "sinks", "dead_letters"):
        tags[name] = {tag for tag, _ in variants(name)}
    return tags


def variants(section: str) -> list[tuple[str, type[BaseModel]]]:
    """The variants of a section that has several: (value of its `type` or `kind`, settings class)."""
    schema = RegionSettings.model_fields[section]
    found: list[tuple[str, type[BaseModel]]] = []

    def walk(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            for key in ("type", "kind"):
                if key in annotation.model_fields:
                    found.append((str(annotation.model_fields[key].default), annotation))
                    return
            return
        for part in getattr(annotation, "__args__", ()) or ():
            walk(part)

    walk(schema.annotation)
    return found


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    """Keys accepted beside an unknown one."""
    model: Any = RegionSettings
    names = [part for part in loc[:-1] if not isinstance(part, int)]
    if not names:
        return sorted(RegionSettings.model_fields)
    section = str(names[0])
    if section not in RegionSettings.model_fields:
        return []
    options = dict(variants(section))
    if len(names) > 1 and names[1] in options:
        model = options[str(names[1])]
    elif not options:
        model = RegionSettings.model_fields[section].annotation
    fields = getattr(model, "model_fields", {}) if model is not RegionSettings else {}
    return sorted(cast("dict[str, Any]", fields))


_UNION_TAGS = _union_tags()
