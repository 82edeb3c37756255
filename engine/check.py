"""Preflight: everything a region's engine will need, tried once, one line each."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.base import ConnectorError, LineBatch, Source, SourcePartition, SourceUnavailable
from connectors.registry import SinkSettings, build_sink, build_source
from engine.clock import SystemClock
from engine.models import describe_classifier, describe_current
from engine.observe.endpoints import EndpointError, Endpoints
from engine.observe.health import Health
from engine.observe.metrics import Metrics
from engine.parse import Parser
from engine.settings import RegionSettings
from models.base import ModelError

SAMPLE_S = 3.0
"""How long lines are waited for to try the format on; a first fetch from Kafka takes some tenths of a second."""

SAMPLED_PARTITIONS = 8
"""Partitions that are read for that at the most, since some may be empty."""


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
    if settings.classify is not None:
        yield _try("classifier", lambda: describe_classifier(settings))
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
    batch = _sample(source, source.partitions()[:SAMPLED_PARTITIONS])
    if batch is None:
        return f"no lines came within {SAMPLE_S:g} s; the format could not be tried"
    parsed = Parser(settings.parse, source.describe).parse(batch)
    first = f"; first that does not: {parsed.bad[0].reason}" if parsed.bad else ""
    if len(parsed) == 0 and parsed.bad:
        raise ConnectorError(f"parse.format: none of {len(batch)} sampled lines parses{first}")
    return f"{settings.parse.format}: {len(parsed)} of {len(batch)} sampled lines parse{first}"


def _sample(source: Source, parts: Sequence[str]) -> LineBatch | None:
    """The first lines that any of the partitions gives."""
    readers: list[SourcePartition] = []
    try:
        readers += (source.open(part, None) for part in parts)
        waiting = list(readers)
        until_s = time.monotonic() + SAMPLE_S
        while waiting and time.monotonic() < until_s:
            for reader in tuple(waiting):
                try:
                    batch = reader.next_batch()
                except StopIteration:
                    waiting.remove(reader)
                    continue
                if batch is not None and len(batch):
                    return batch
            time.sleep(0.01)
    finally:
        for reader in readers:
            reader.close()
    return None


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
