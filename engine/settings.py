"""Settings of a region and of the coordinator: the only place that reads TOML and the environment.

`RegionSettings` composes the settings that each component declares next to its code. A value is taken
from the environment variable `DRIFTLINE_<SECTION>__<KEY>` if set (secrets belong there), else from
the region's TOML file, else from the default. Unknown keys and wrong types are refused, each with
one sentence that names the file, the key, the value and what would be right.
"""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from connectors.registry import SinkSettings, SourceSettings
from connectors.sql_settings import SqlSettings
from engine.drift.settings import DriftSettings
from engine.serving.hot_swap import ModelSettings
from engine.steps.alert import AlertSettings
from engine.steps.classify import ClassifySettings
from engine.steps.decide import DecideSettings
from engine.steps.find import LearnSettings
from engine.steps.parse import ParseSettings
from engine.steps.rollup import RollupSettings
from engine.steps.score import ScoreSettings
from engine.steps.window import SlidingWindows, WindowSettings
from engine.telemetry.logs import LogSettings
from engine.telemetry.telemetry import TelemetrySettings
from federation.coordinator.schedule import ScheduleSettings
from federation.flower.settings import AbsolutePath, NodeSettings, SuperLinkSettings
from federation.round.settings import RoundSettings
from federation.storage.labels import LabelFeedSettings
from federation.storage.training_store import TrainingSettings
from foundation.errors import DriftlineError
from foundation.settings_errors import sentences
from models.classify.rules import Rules

_PARSE_LIMITS = {
    "earliest", "max_future_s", "max_message_bytes", "max_shapes", "max_join_lines", "max_join_bytes"
}  # fmt: skip
"""Settings of which lines are rejected, cut or remembered; the parser's state stays valid when they change."""


F = TypeVar("F", bound="TomlSettings")


class SettingsFileError(DriftlineError):
    """A region's settings cannot be used; the message has one line a fault."""


class RecoverySettings(BaseModel):
    """What survives a crash, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Field(description="Folder for positions and state. Restrict write access to the engine's user.")
    snapshot_s: Annotated[float, Field(gt=0)] = Field(
        1.0, description="Seconds between two snapshots. After a crash, the lines since the last snapshot are read "
                         "again."
    )  # fmt: skip


class _Environment(EnvSettingsSource):
    """Reaches into the list of sinks as well: `DRIFTLINE_SINKS__0__URL` is the `url` of the first."""

    def __init__(self, settings_cls: type[BaseSettings], sinks: Any) -> None:
        super().__init__(settings_cls)
        self._sinks = sinks

    def __call__(self) -> dict[str, Any]:
        """The sections with a value from a variable."""
        found = super().__call__()
        over = found.get("sinks")
        if isinstance(over, dict) and isinstance(self._sinks, list) and all(isinstance(s, dict) for s in self._sinks):
            known = {str(i): sink for i, sink in enumerate(self._sinks)}
            if not set(over) <= set(known):
                which = ", ".join(f"DRIFTLINE_SINKS__{i.upper()}" for i in sorted(set(over) - set(known)))
                raise SettingsError(f"{which}: no such sink; the file has {len(known)}, numbered from 0")
            found["sinks"] = [{**sink, **over.get(i, {})} for i, sink in known.items()]
        return found


class TomlSettings(BaseSettings):
    """What is read from one TOML file, with the environment's values over it."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="DRIFTLINE_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        """The environment wins over the file, so that it need not contain secrets."""
        return _Environment(settings_cls, init_settings().get("sinks")), init_settings

    def secrets(self) -> list[str]:
        """Every secret value in here, so that logs can mask them."""
        return list(_secret_values(self))


class RegionSettings(TomlSettings):
    """Settings of one region: of its engine, and of its node in federated rounds."""

    region: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)] = Field(
        description="Name of the region, on every alert, metric and trace."
    )
    route: Literal["partition", "session"] = Field(
        "partition",
        description="`partition`: all lines of a session arrive through one partition or file. `session`: they "
        "arrive through several; each line is sent to the shard of its session.",
    )
    shards: Annotated[int, Field(ge=1, le=1024)] = Field(
        1, description="With `route = \"session\"`: number of shards, at least the number of processes in the cluster."
    )  # fmt: skip
    drain_s: Annotated[float, Field(gt=0)] = Field(
        8.0, description="Seconds that a requested stop waits for sinks that do not acknowledge."
    )
    source: SourceSettings = Field(description="Source of the lines.")
    parse: ParseSettings = Field(default_factory=ParseSettings, description="How lines are parsed.")
    window: WindowSettings = Field(default_factory=SlidingWindows, description="How lines become windows.")
    model: ModelSettings | None = Field(
        None, description="Model that scores the windows. Without it, the engine learns from the stream."
    )
    learn: LearnSettings | None = Field(
        None, description="Detection of new or unusual behaviour without labels. It is always on without [model]; "
                          "with [model], its findings are additional alerts.",
    )  # fmt: skip
    score: ScoreSettings = Field(default_factory=ScoreSettings, description="How windows are gathered for the model.")
    decide: DecideSettings = Field(default_factory=DecideSettings, description="How scores become alerts.")
    classify: ClassifySettings | None = Field(
        None, description="Line classifier for the lines of an alert. Without it, lines are not classified."
    )
    alert: AlertSettings = Field(default_factory=AlertSettings, description="What an alert quotes.")
    sinks: Annotated[tuple[SinkSettings, ...], Field(min_length=1)] = Field(description="Destinations of alerts.")
    dead_letters: SinkSettings = Field(description="Destination of lines that cannot be processed.")
    rollup: RollupSettings | None = Field(
        None, description="Counts per minute and template in the SQL store. Without it, lines are not counted there."
    )
    drift: DriftSettings = Field(default_factory=DriftSettings, description="When a stream counts as drifted.")
    drift_events: SinkSettings | None = Field(
        None,
        description="Destination of drift events: the topic `driftline.drift`. Without it, drift is not monitored.",
    )
    event_key: AbsolutePath | None = Field(
        None, description="Private key that drift events are signed with, as `driftline federate keys` writes it. "
                          "Without it, they are not signed.",
    )  # fmt: skip
    recovery: RecoverySettings = Field(description="State that survives a crash.")
    training: TrainingSettings | None = Field(
        None, description="Windows of the region that are stored for training. Without it, none are stored."
    )
    node: NodeSettings | None = Field(
        None, description="Participation of the region in federated rounds. Without it, the region does not take part."
    )
    labels: tuple[LabelFeedSettings, ...] = Field((), description="Sources of late labels and feedback.")
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings, description="Metrics, health, traces.")
    log: LogSettings = Field(default_factory=LogSettings, description="The engine's own log.")

    @model_validator(mode="after")
    def _route_fits(self) -> "RegionSettings":
        if self.route == "partition" and self.shards != 1:
            raise ValueError(f'shards = {self.shards} needs route = "session"; with route = "partition" it must be 1')
        if self.route == "session" and getattr(self.window, "per", "session") == "source":
            raise ValueError(
                'route = "session" gives a shard the lines of its sessions only, so no window can hold all lines of a '
                'source: set per = "session" in [window], or route = "partition"'
            )
        return self

    @model_validator(mode="after")
    def _something_judges(self) -> "RegionSettings":
        if self.model is not None:
            return self
        for name in ("drift_events", "training", "node"):
            if getattr(self, name) is not None:
                raise ValueError(f"[{name}] needs [model]: it works on windows that a model scores")
        if self.classify is not None and not self.classify.store and self.classify.name != Rules.name:
            raise ValueError(
                f'classify.name = "{self.classify.name}" needs classify.store, since the region has no [model]; '
                f'"{Rules.name}" needs none'
            )
        if self.route == "session":
            raise ValueError('route = "session" needs [model]; without a model each partition is judged separately')
        if self.learn is None:
            object.__setattr__(self, "learn", LearnSettings())
        return self

    @model_validator(mode="after")
    def _rollup_has_a_store(self) -> "RegionSettings":
        if self.rollup is not None and self.rollup_store is None:
            raise ValueError("[rollup] needs a database: set rollup.store.url, or add a sink of type sql")
        return self

    @property
    def rollup_store(self) -> SqlSettings | None:
        """The database of counts: the one set for them, else that of the first SQL sink; None without both."""
        if self.rollup is not None and self.rollup.store is not None:
            return self.rollup.store
        return next((sink for sink in self.sinks if isinstance(sink, SqlSettings)), None)

    @property
    def scoring(self) -> ModelSettings:
        """The settings of the model, if there is one.

        Raises:
            SettingsFileError: the region has no model.
        """
        if self.model is None:
            raise SettingsFileError("the region has no [model], which names the store and the model that score windows")
        return self.model

    def fingerprint(self) -> str:
        """What recovery state depends on: state made under another fingerprint must not be loaded.

        Limits are left out, so that an operator can raise one without giving up the open windows.
        """
        parts = {
            "source": self.source.model_dump(mode="json", include={"type", "topic", "path", "paths"}),
            "parse": self.parse.model_dump(mode="json", exclude=_PARSE_LIMITS),
            "window": self.window.shape(),
            "route": self.route,
            "shards": self.shards,
        }
        return json.dumps(parts, sort_keys=True)


class CoordinatorSettings(TomlSettings):
    """Settings of the coordinator of federated rounds."""

    model: str = Field("bert_cnn", description="Name of the model in the store that rounds retrain.")
    store: str = Field(description="Folder or fsspec URL of the model store that all regions follow.")
    folder: AbsolutePath = Field(description="The coordinator keeps its ledger, its rounds and the audit log here.")
    regions: tuple[str, ...] = Field((), description="All regions that should take part; missing ones are reported.")
    keys: Path | None = Field(
        None, description="Folder of `driftline federate keys`: only nodes with a key in it may take part. Only "
                          "public keys are read.",
    )  # fmt: skip
    signed_events: bool = Field(
        False, description="Reject drift events without a signature of their region's key in `keys`. An event with a "
                           "wrong signature is rejected in any case.",
    )  # fmt: skip
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings, description="When a round is due.")
    round: RoundSettings = Field(default_factory=RoundSettings, description="How a round is run.")
    superlink: SuperLinkSettings = Field(description="Flower's server, which the coordinator starts.")
    events: SourceSettings = Field(description="Source of drift events: the topic `driftline.drift`.")
    dead_letters: SinkSettings = Field(description="Destination of documents that are not drift events.")
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings, description="Metrics, health, traces.")
    log: LogSettings = Field(default_factory=LogSettings, description="The coordinator's own log.")

    @model_validator(mode="after")
    def _events_can_be_checked(self) -> "CoordinatorSettings":
        if self.signed_events and self.keys is None:
            raise ValueError("signed_events needs keys, the folder with the public keys of the regions")
        return self


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
    """The settings of a region in a TOML file, with the environment's values over them.

    Raises:
        SettingsFileError: the file is missing, is not TOML, or states something that cannot be used.
    """
    return from_mapping(read_toml(path), str(path))


def load_coordinator(path: Path) -> CoordinatorSettings:
    """Like `load`, for the coordinator's file."""
    return settings_of(CoordinatorSettings, read_toml(path), str(path))


def load_either(path: Path) -> RegionSettings | CoordinatorSettings:
    """Like `load`, for a file of either kind: one with the section `superlink` is the coordinator's."""
    content = read_toml(path)
    if "superlink" in content:
        return settings_of(CoordinatorSettings, content, str(path))
    return settings_of(RegionSettings, content, str(path))


def from_mapping(content: dict[str, Any], origin: str) -> RegionSettings:
    """Like `load`, for content that was read already; `origin` names it in messages."""
    return settings_of(RegionSettings, content, origin)


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        SettingsFileError: the file is missing, cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise SettingsFileError(f"{path}: no such file; give the path of a region's TOML file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsFileError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsFileError(f"{path}: not valid TOML: {error}") from error


def settings_of(kind: type[F], content: dict[str, Any], origin: str) -> F:
    """Settings of a kind from the content of a TOML file, with the environment's values over it.

    Args:
        kind: The class of the settings.
        content: What the file contains.
        origin: The file, for messages.

    Raises:
        SettingsFileError: it contains something that cannot be used.
    """
    try:
        return kind(**content)
    except ValidationError as error:
        environ = {name.upper(): value for name, value in os.environ.items()}
        raise SettingsFileError("\n".join(sentences(error, kind, origin, environ))) from error
    except SettingsError as error:
        raise SettingsFileError(f"environment: {error}") from error
