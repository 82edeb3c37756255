"""Everything an operator sees of a running engine: metrics, traces and health, started as one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from engine.clock import Clock
from engine.telemetry.endpoints import EndpointAccess, Endpoints
from engine.telemetry.health import Health, LagWatch
from engine.telemetry.input_quality import InputQuality
from engine.telemetry.metrics import Metrics
from engine.telemetry.tracing import Tracer
from foundation.version import VERSION


class TelemetrySettings(BaseModel):
    """Where metrics and health are served, and when they call something wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    serve: bool = Field(True, description="Serve /healthz, /readyz and /metrics over HTTP.")
    host: str = Field(
        "127.0.0.1", description="Address to serve on. On others than loopback set a token, and a certificate or a "
                                 "proxy with TLS."
    )  # fmt: skip
    hosts: tuple[str, ...] = Field(
        (), description="Names that the `Host` header of requests may have, in lower case, besides loopback names on a "
                        "loopback address. Empty: any on other addresses."
    )  # fmt: skip
    certificate: Path | None = Field(None, description="TLS certificate chain, PEM; HTTPS is then served, not HTTP.")
    key: Path | None = Field(None, description="Private key of the certificate, PEM, without a passphrase.")
    token: SecretStr | None = Field(
        None, description="Bearer token for /metrics and the conditions on /readyz. Without it, requests get only the "
                          "status of /healthz and /readyz."
    )  # fmt: skip
    port: int = Field(
        9464, ge=0, le=65535, description="Port of the first worker; worker i uses port + i. 0 uses any free port."
    )
    stall_s: float = Field(
        30.0, gt=0, description="Seconds without progress after which /healthz reports the worker as stuck."
    )
    kill_stuck_s: float = Field(
        120.0, gt=0, description="Seconds that a worker of `run --workers` may be stuck, or not answer, before its "
                                 "supervisor kills and restarts it."
    )  # fmt: skip
    lag_tolerated: int = Field(
        100_000,
        ge=0,
        description="A lag up to this size does not fail /readyz (Kafka: messages; files: bytes).",
    )
    trace_ratio: float = Field(
        0.01, ge=0, le=1, description="Share of micro-batches that are traced if OTEL_TRACES_SAMPLER is not set."
    )

    @model_validator(mode="after")
    def _certificate_has_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are needed together")
        return self

    @property
    def access(self) -> EndpointAccess:
        """Who may read the pages."""
        return EndpointAccess(self.bearer, self.hosts, self.certificate, self.key)

    @property
    def bearer(self) -> str:
        """The token in clear, "" where none is set."""
        return self.token.get_secret_value() if self.token else ""


class ServedTelemetry:
    """Metrics and health of one process, served from construction until `close`.

    Attributes:
        metrics: Its metrics.
        health: Its conditions.
        tracer: Makes its spans.
        endpoints: Serve metrics and health; None if the settings disable them, and after `close`.
    """

    def __init__(
        self, settings: TelemetrySettings, health: Health, tracer: Tracer, region: str, worker: int = 0
    ) -> None:
        """Starts serving at once.

        Args:
            settings: See the class; worker i serves on the port `port` + i.
            health: Conditions to serve.
            tracer: Closed with this.
            region: Named in metrics.
            worker: Number of this process among those of one region, from 0.

        Raises:
            EndpointError: the address cannot be served on.
        """
        self.metrics = Metrics()
        self.metrics.engine.info({"region": region, "worker": str(worker), "version": VERSION})
        self.health = health
        self.tracer = tracer
        port = settings.port + worker if settings.port else 0
        self.endpoints = (
            Endpoints(health, self.metrics, settings.host, port, settings.access) if settings.serve else None
        )

    def close(self) -> None:
        """Sends the last spans (two seconds at most) and stops serving; a second call does nothing."""
        self.tracer.close()
        if self.endpoints is not None:
            self.endpoints.close()
            self.endpoints = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Telemetry(ServedTelemetry):
    """Metrics, tracer, health and lag watch of one worker."""

    def __init__(
        self, settings: TelemetrySettings, clock: Clock, environ: Mapping[str, str], region: str, worker: int = 0,
        *, dated: bool = True,
    ) -> None:  # fmt: skip
        """Starts serving at once.

        Args:
            settings: See the class.
            clock: For ages and stamps.
            environ: Process environment: OpenTelemetry's standard variables decide about traces.
            region: Named in metrics and traces.
            worker: Number of this process among those of one region, from 0.
            dated: Whether lines are expected to have a time.

        Raises:
            EndpointError: the address cannot be served on.
        """
        health = Health(clock, settings.stall_s)
        tracer = Tracer.from_environment(environ, settings.trace_ratio, region=region, worker=str(worker))
        super().__init__(settings, health, tracer, region, worker)
        self.input = InputQuality(health, dated=dated)
        self.lag = LagWatch(health, clock, settings.lag_tolerated)
