"""Preflight: everything a region's engine will need, tried once, one line each."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from connectors.base import ConnectorError, SourceUnavailable
from connectors.registry import SinkSettings, build_sink, build_source
from engine.clock import SystemClock
from engine.models import describe_current
from engine.observe.endpoints import EndpointError, Endpoints
from engine.observe.health import Health
from engine.observe.metrics import Metrics
from engine.parse import Parser
from engine.settings import RegionSettings
from models.base import ModelError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing tried: what, whether it works, and a sentence about it."""

    name: str
    ok: bool
    detail: str


def preflight(settings: RegionSettings) -> Iterator[Finding]:
    """Tries each part and yields what it found; a fault in one does not keep the others from being tried."""
    yield _try("source", lambda: _source(settings))
    yield _try("format", lambda: _format(settings))
    for i, sink in enumerate(settings.sinks):
        yield _try(f"sink {i} ({sink.type})", lambda sink=sink: _sink(sink))  # type: ignore[misc]
    yield _try(f"dead letters ({settings.dead_letters.type})", lambda: _sink(settings.dead_letters))
    yield _try("model", lambda: describe_current(settings.model))
    yield _try("recovery", lambda: _writable(settings.recovery.path))
    if settings.telemetry.serve:
        yield _try("endpoints", lambda: _port(settings))


def _try(name: str, action: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, action())
    except (ConnectorError, ModelError, EndpointError, OSError) as error:
        return Finding(name, False, str(error))


def _source(settings: RegionSettings) -> str:
    source = build_source(settings.source)
    parts = list(source.partitions())
    if not parts:
        raise SourceUnavailable("the source has no partitions or files to read")
    source.open(parts[0], None).close()
    named = ", ".join(parts[:4]) + (" …" if len(parts) > 4 else "")
    return f"{settings.source.type}: {len(parts)} to read ({named})"


def _format(settings: RegionSettings) -> str:
    """Reads one batch from a finite look at the source and says how many of its lines parse."""
    source = build_source(settings.source)
    part = next(iter(source.partitions()), None)
    if part is None:
        raise SourceUnavailable("no lines to try the format on")
    reader = source.open(part, None)
    try:
        batch = None
        for _ in range(20):
            batch = batch or reader.next_batch()
    except StopIteration:
        pass
    finally:
        reader.close()
    if batch is None:
        return "no lines are waiting; the format could not be tried"
    parsed = Parser(settings.parse, source.describe).parse(batch)
    first = f"; first that does not: {parsed.bad[0].reason}" if parsed.bad else ""
    if len(parsed) == 0 and parsed.bad:
        raise ConnectorError(f"parse.format: none of {len(batch)} sampled lines parses{first}")
    return f"{settings.parse.format}: {len(parsed)} of {len(batch)} sampled lines parse{first}"


def _sink(settings: SinkSettings) -> str:
    sink = build_sink(settings)
    try:
        sink.open(None)
    finally:
        sink.close()
    return "reachable and writable"


def _writable(path: Path) -> str:
    folder = path
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(f"recovery.path: {folder} is no folder")
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"x" * 65536)
        probe.flush()
    return f"{path} {'is writable' if folder == path else f'can be made in {folder}'}"


def _port(settings: RegionSettings) -> str:
    endpoints = Endpoints(Health(SystemClock(), 1.0), Metrics(), settings.telemetry.host, settings.telemetry.port)
    endpoints.close()
    return f"port {endpoints.port} on {endpoints.host} is free"
