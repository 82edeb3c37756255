"""Settings of `driftline serve`: where it listens, what it reads, and how much one request may ask for."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from connectors.sql_settings import SqlSettings
from engine.settings import TomlSettings, read_toml, settings_of


class ListenSettings(BaseModel):
    """Where `driftline serve` answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to bind. Others than loopback need TLS or `without_tls`.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8600, description="TCP port; 0 takes a free one.")
    hosts: tuple[str, ...] = Field(
        (), description="Names under which it is reached, for the check of the `Host` header, which stops DNS "
                        "rebinding. Loopback names are accepted if it binds to loopback; otherwise all, if empty.",
    )  # fmt: skip
    certificate: Path | None = Field(None, description="TLS certificate chain, PEM.")
    key: Path | None = Field(None, description="Private key of the certificate, PEM.")
    without_tls: bool = Field(
        False, description="Allow a public address without TLS, for example behind a proxy that ends TLS."
    )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host == "localhost" or (_is_address(self.host) and ip_address(self.host).is_loopback)

    @model_validator(mode="after")
    def _is_safe(self) -> "ListenSettings":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are needed together")
        if not self.is_loopback and self.certificate is None and not self.without_tls:
            raise ValueError(
                f"host {self.host} is reachable from other machines and passwords would travel in clear text: set "
                "certificate and key, or without_tls = true behind a proxy that ends TLS"
            )
        return self


class RequestLimits(BaseModel):
    """How much one request may ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    body_bytes: Annotated[int, Field(ge=1_000)] = Field(
        1_000_000, description="Maximum size of a request's body, in bytes."
    )
    upload_bytes: Annotated[int, Field(ge=1_000)] = Field(
        100_000_000, description="Maximum size of an uploaded log, in bytes."
    )
    lines: Annotated[int, Field(ge=1)] = Field(10_000, description="Maximum number of lines in `POST /api/predict`.")
    line_bytes: Annotated[int, Field(ge=100)] = Field(
        65_536, description="Maximum length of a line to classify, in bytes."
    )
    logins_per_minute: Annotated[int, Field(ge=1)] = Field(
        20, description="Maximum number of login attempts from one address per minute."
    )
    predictions_per_minute: Annotated[int, Field(ge=1)] = Field(
        600, description="Maximum number of classification requests of one user per minute."
    )


class OidcSettings(BaseModel):
    """Login with an OpenID provider, next to users with passwords."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(pattern=r"^https?://", description="Address of the provider, as it names itself.")
    client_id: str = Field(min_length=1, description="Id of this service at the provider.")
    client_secret: SecretStr | None = Field(None, description="Its secret; without one it is a public client.")
    public_url: str = Field(
        pattern=r"^https?://", description="Address under which browsers reach this service. Register "
        "`PUBLIC_URL/api/v1/oidc/callback` at the provider.",
    )  # fmt: skip
    label: str = Field("Log in with OpenID", description="Text of the button.")
    scopes: tuple[str, ...] = Field(("openid", "profile", "email"), description="Scopes to ask for.")
    name_claim: str = Field("preferred_username", description="Claim with the name of the user.")
    groups_claim: str = Field("groups", description="Claim with the groups of the user.")
    admins: tuple[str, ...] = Field((), description="Groups with the role admin; `*` is everyone.")
    operators: tuple[str, ...] = Field((), description="Groups with the role operator; `*` is everyone.")
    viewers: tuple[str, ...] = Field(
        (), description="Groups with the role viewer; `*` is everyone. Users in none of these groups are refused."
    )


class RetentionSettings(BaseModel):
    """How long the service keeps rows, by wall clock; it deletes once every hour."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    audit_days: Annotated[float, Field(gt=0)] = Field(400.0, description="Days that the audit log is kept.")
    events_days: Annotated[float, Field(gt=0)] = Field(
        400.0, description="Days that decisions about groups, and markers of deploys, are kept."
    )


class JobSettings(BaseModel):
    """Trainings that are started through the API; one runs at a time, in a process of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Field(Path("jobs"), description="Folder of uploaded data, logs and reports. Uploaded data are "
                       "deleted when their job has ended.")  # fmt: skip
    limit_s: Annotated[float, Field(gt=0)] = Field(3_600.0, description="Seconds after which a job is killed.")
    memory_bytes: Annotated[int, Field(ge=100_000_000)] = Field(
        4_000_000_000, description="Resident memory beyond which a job is killed, in bytes; on Linux only."
    )
    unpacked_bytes: Annotated[int, Field(ge=1)] = Field(
        10_000_000_000, description="Bytes of an uploaded file once it is decompressed; a job with a longer one fails."
    )
    threads: Annotated[int, Field(ge=1)] = Field(1, description="Threads of a job; it has a low priority.")
    waiting: Annotated[int, Field(ge=1)] = Field(20, description="Maximum number of jobs that wait.")
    keep_days: Annotated[float, Field(gt=0)] = Field(90.0, description="Days that an ended job is kept.")


class ServeSettings(TomlSettings):
    """Settings of the API and the console."""

    listen: ListenSettings = Field(default_factory=ListenSettings, description="Address and TLS.")
    region: Path | None = Field(
        None, description="A region's TOML file. Its SQL sink, model store, training store and file of silences are "
                          "used.",
    )  # fmt: skip
    coordinator: Path | None = Field(
        None, description="The coordinator's TOML file: rounds, the audit log of rounds, and rollbacks."
    )
    store: SqlSettings | None = Field(
        None, description="Database of alerts, users and answers; that of the region's SQL sink if not set, else "
                          "`sqlite:///alerts.db`.",
    )  # fmt: skip
    models: str = Field(
        "", description="Folder or fsspec URL of the model store; the coordinator's or the region's if empty."
    )
    session_hours: Annotated[float, Field(gt=0)] = Field(12.0, description="Hours after which a login ends.")
    oidc: OidcSettings | None = Field(None, description="OpenID provider; without it, users log in by password only.")
    retention: RetentionSettings = Field(default_factory=RetentionSettings, description="How long rows are kept.")
    jobs: JobSettings = Field(default_factory=JobSettings, description="Trainings started through the API.")
    requests: RequestLimits = Field(default_factory=RequestLimits, description="Limits of requests.")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def load_serve(path: Path | None) -> ServeSettings:
    """Read the file of `driftline serve`; None for the defaults.

    Raises:
        SettingsFileError: the file is missing, is not TOML, or contains something that cannot be used.
    """
    content = {} if path is None else read_toml(path)
    return settings_of(ServeSettings, content, "the defaults" if path is None else str(path))
