"""What the running workers of a region's engine report of themselves, read from their endpoints."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from engine.settings import RegionSettings
from engine.telemetry.scrape import MetricSample, read_metrics, read_page
from engine.telemetry.telemetry import TelemetrySettings

MAX_WORKERS = 64
TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker, by its counters since it started.

    Attributes:
        worker: Number of the worker.
        ready: Whether lines become alerts now.
        wrong: What is wrong, one sentence each.
        lines, windows, alerts: Counted so far.
        late, undated: Lines that came too late for a window; lines without a time.
        dead_letters: Lines that could not be processed, by the kind of fault.
        lag: What the source has and was not read (Kafka: messages; files: bytes); None if unknown.
        version: Version of the model in use; None without a model.
    """

    worker: int
    ready: bool
    wrong: tuple[str, ...]
    lines: int
    windows: int
    alerts: int
    late: int
    undated: int
    dead_letters: Mapping[str, int]
    lag: int | None
    version: int | None


def worker_states(settings: RegionSettings) -> list[WorkerState]:
    """The workers that answer at the addresses of the region's settings; none if no engine of the region runs there."""
    telemetry = settings.telemetry
    found: list[WorkerState] = []
    if not telemetry.serve or not telemetry.port:
        return found
    for port in range(telemetry.port, min(telemetry.port + MAX_WORKERS, 65_536)):
        state = _state(telemetry, port, settings.region)
        if state is None:
            break
        found.append(state)
    return found


def _state(telemetry: TelemetrySettings, port: int, region: str) -> WorkerState | None:
    """The worker at an address; None if no worker of the region answers there."""

    def read(path: str) -> tuple[int, str]:
        token, certificate = telemetry.bearer, telemetry.certificate
        return read_page(telemetry.host, port, path, TIMEOUT_S, token=token, certificate=certificate)

    try:
        status, text = read("/metrics")
        if status != HTTPStatus.OK:
            return None
        metrics = read_metrics(text)
        page = json.loads(read("/readyz")[1])  # of status 503 as well
    except (OSError, ValueError):
        return None
    engine = next(iter(metrics.get("driftline_engine_info", ())), None)
    if engine is None or engine.labels.get("region") != region:
        return None

    def total(name: str) -> int:
        return int(sum(sample.value for sample in metrics.get(name, ())))

    def known(name: str) -> int | None:
        return total(name) if metrics.get(name) else None

    dead: dict[str, int] = {}
    for sample in metrics.get("driftline_bad_lines_total", ()):
        dead[_only_label(sample)] = int(sample.value)
    return WorkerState(
        worker=int(engine.labels["worker"]), ready=page["status"] == "ok", wrong=tuple(page["wrong"]),
        lines=total("driftline_lines_total"), windows=total("driftline_windows_total"),
        alerts=total("driftline_alerts_total"), late=total("driftline_late_lines_total"),
        undated=total("driftline_undated_lines_total"), dead_letters=dead, lag=known("driftline_source_lag"),
        version=known("driftline_model_version"),
    )  # fmt: skip


def _only_label(sample: MetricSample) -> str:
    return next(iter(sample.labels.values()))
