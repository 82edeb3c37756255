"""Preflight: everything a region's engine will need, tried once, one line each."""

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.base import ConnectorError, LineBatch, Source, SourcePartition, SourceUnavailableError
from connectors.registry import SinkSettings, SourceSettings, build_sink, build_source
from engine.clock import SystemClock
from engine.parsing.template_settings import TemplateSettings
from engine.runtime.coordinator_clock import MAX_SKEW_S, clock_ahead_s
from engine.runtime.federation_wiring import audit_of, ledger_of, trainer_build
from engine.runtime.model_loading import describe_classifier, describe_current, rule_patterns
from engine.serving.hot_swap import ModelSettings
from engine.settings import CoordinatorSettings, RegionSettings
from engine.steps.parse import Parser
from engine.steps.silences import SuppressionRule, read_silences
from engine.telemetry.endpoints import Endpoints
from engine.telemetry.health import Health
from engine.telemetry.metrics import Metrics
from engine.telemetry.telemetry import TelemetrySettings
from engine.telemetry.tracing import exporter_asked_for
from federation.errors import SetupError
from federation.flower.node import require_usable
from federation.flower.superlink import SuperLink
from federation.storage.training_store import TrainingStore
from foundation.document_signatures import signer
from foundation.errors import DriftlineError
from foundation.extras import require
from foundation.pattern_cost import slow_patterns

SAMPLE_S = 3.0
"""How long lines are waited for to try the format on; a first fetch from Kafka takes some tenths of a second."""

SAMPLED_PARTITIONS = 8
"""Partitions that are read for that at most, since some may be empty."""


CONNECT_S = 3.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing tried: what, whether it works, and a sentence about it."""

    name: str
    ok: bool
    detail: str


def preflight(settings: RegionSettings) -> Iterator[CheckResult]:
    """Tries each part and yields what it found; a fault in one does not keep the others from being tried."""
    yield _try("source", lambda: _source(settings))
    yield _try("format", lambda: _format(settings))
    for i, sink in enumerate(settings.sinks):
        yield _try(f"sink {i} ({sink.type})", lambda sink=sink: _sink(sink))  # type: ignore[misc]
    yield _try(f"dead letters ({settings.dead_letters.type})", lambda: _sink(settings.dead_letters))
    if (events := settings.drift_events) is not None:
        yield _try(f"drift events ({events.type})", lambda: _drift(events, settings))
    if (model := settings.model) is not None:
        yield _try("model", lambda: describe_current(model, settings))
    if settings.classify is not None:
        yield _try("classifier", lambda: describe_classifier(settings))
    yield _try("recovery", lambda: _writable(settings.recovery.path))
    if settings.training is not None:
        yield _try("training store", lambda: _training(settings))
    for i, feed in enumerate(settings.labels):
        yield _try(f"labels {i} ({feed.source.type})", lambda feed=feed: _feed(feed.source))  # type: ignore[misc]
    if settings.node is not None:
        yield _try("node", lambda: _node(settings))
    if (patterns := _try("patterns", lambda: _linear(_patterns(settings)))).detail:
        yield patterns
    yield from traces(os.environ)
    if settings.telemetry.serve:
        yield _try("endpoints", lambda: _port(settings.telemetry))


def preflight_coordinator(settings: CoordinatorSettings) -> Iterator[CheckResult]:
    """The same for the coordinator of federated rounds."""
    yield _try("model", lambda: describe_current(ModelSettings(store=settings.store, name=settings.model)))
    yield _try(f"events ({settings.events.type})", lambda: _feed(settings.events))
    yield _try(f"dead letters ({settings.dead_letters.type})", lambda: _sink(settings.dead_letters))
    yield _try("ledger and audit log", lambda: _records(settings))
    yield _try("superlink", lambda: _superlink(settings))
    if settings.telemetry.serve:
        yield _try("endpoints", lambda: _port(settings.telemetry))


def traces(environ: Mapping[str, str]) -> Iterator[CheckResult]:
    """Send a span to the collector that the environment names, if any."""
    if exporter_asked_for(environ) == "otlp":
        yield _try("traces", _traces)


def _traces() -> str:
    require("otel", "tracing")
    from engine.telemetry.otlp_probe import probe

    return probe()


def _try(name: str, action: Callable[[], str]) -> CheckResult:
    try:
        return CheckResult(name, True, action())
    except (DriftlineError, OSError) as error:
        return CheckResult(name, False, str(error))


def _patterns(settings: RegionSettings) -> dict[str, list[str]]:
    """The regular expressions that the settings and the files that they name add, by the key that has them.

    Raises:
        DriftlineError: a file cannot be read.
    """
    built_in, key = TemplateSettings().masks, settings.parse.session_key
    named = {
        "parse.templates.masks": [mask.pattern for mask in settings.parse.templates.masks if mask not in built_in],
        "parse.session_key": [key] if "(?P<key>" in key else [],
        "alert.redact": list(settings.alert.redact),
        "decide.suppress": _conditions(settings.decide.suppress),
        "decide.silences": _conditions(() if (file := settings.decide.silences) is None else read_silences(file)),
        "classify": [] if settings.classify is None else rule_patterns(settings.classify, settings),
        "training.rules": [] if settings.training is None else list(settings.training.rules),
    }
    return {name: patterns for name, patterns in named.items() if patterns}


def _conditions(rules: Sequence[SuppressionRule]) -> list[str]:
    return [pattern for rule in rules for pattern in (rule.template, rule.session) if pattern is not None]


def _linear(named: Mapping[str, Sequence[str]]) -> str:
    """Try patterns on texts that repeat what they mention; "" where there are none."""
    if not named:
        return ""
    slow = slow_patterns([pattern for patterns in named.values() for pattern in patterns])
    found = [f"{name}: {p!r} {slow[p]}" for name, patterns in named.items() for p in patterns if p in slow]
    if found:
        raise SlowPatternError("; ".join(found) + "; begin it with \\b, or bound a repetition, such as {1,64}")
    return f"{sum(map(len, named.values()))} regular expressions take linear time"


class SlowPatternError(DriftlineError):
    """A regular expression of the settings is slow on some text."""


def _drift(events: SinkSettings, settings: RegionSettings) -> str:
    drift = settings.drift
    if settings.event_key is not None:
        signer(settings.event_key)
    first, scores = (blocks * drift.block_windows for blocks in (drift.first_blocks, drift.warmup_blocks))
    return f"{_sink(events)}; verdicts on templates after {first:,} windows, on scores after {scores:,}"


def _source(settings: RegionSettings) -> str:
    source = build_source(settings.source)
    parts = list(source.partitions())
    if not parts:
        raise SourceUnavailableError("the source has no partitions or files to read")
    source.open(parts[0], None).close()
    named = ", ".join(parts[:4]) + (" …" if len(parts) > 4 else "")
    return f"{settings.source.type}: {len(parts)} to read ({named})"


def _format(settings: RegionSettings) -> str:
    """Read one batch of a finite view of the source, and return how many of its lines parse."""
    source = build_source(settings.source)
    batch = _sample(source, source.partitions()[:SAMPLED_PARTITIONS])
    if batch is None:
        return f"no lines came within {SAMPLE_S:g} s; the format could not be tried"
    parsed = Parser(settings.parse, source.describe).parse(batch).good
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
        raise NotADirectoryError(f"recovery.path: {folder} is not a folder")
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"x" * 65536)
        probe.flush()
    return f"{path} {'is writable' if folder == path else f'can be made in {folder}'}"


def _feed(settings: SourceSettings) -> str:
    parts = list(build_source(settings).partitions())
    if not parts:
        raise SourceUnavailableError("there is nothing to read")
    return f"{settings.type}: {len(parts)} to read ({', '.join(parts[:4])})"


def _training(settings: RegionSettings) -> str:
    assert settings.training is not None
    with TrainingStore(settings.training.path, settings.training, now_ns=time.time_ns) as store:
        counts = store.counts()
    sealed = "encrypted" if settings.training.key is not None else "not encrypted"
    return f"{settings.training.path}: {counts.windows} windows, {counts.labels} labels, {sealed}"


def _node(settings: RegionSettings) -> str:
    assert settings.node is not None
    require("federation", "federated retraining")
    trainer_build(settings)
    require_usable(settings.region, settings.node)
    host, _, port = settings.node.superlink.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise SetupError(
            f"node.superlink: {settings.node.superlink} does not answer ({error.strerror or error}); the coordinator "
            "has to run"
        ) from error
    answers = f"{settings.node.superlink} answers{'' if settings.node.key else '; no key: not for other machines'}"
    ahead_s = clock_ahead_s(host, int(port), settings.node.root_certificates)
    if ahead_s is None:
        return answers
    if abs(ahead_s) > MAX_SKEW_S:
        direction = "ahead of" if ahead_s > 0 else "behind"
        raise SetupError(
            f"the clock of this machine is {abs(ahead_s) / 3600:.1f} h {direction} the coordinator's; at most "
            f"{MAX_SKEW_S / 3600:g} h are corrected; synchronise the clocks"
        )
    return f"{answers}, clocks differ by {abs(ahead_s):.0f} s"


def _records(settings: CoordinatorSettings) -> str:
    with ledger_of(settings) as ledger:
        rounds, head = ledger.rounds(1), ledger.fact("audit_head")
    entries = audit_of(settings).verify(tuple(head) if head else None)
    return f"{settings.folder}: {rounds[0].number if rounds else 0} rounds, {len(entries)} audit entries, unchanged"


def _superlink(settings: CoordinatorSettings) -> str:
    require("federation", "federated retraining")
    SuperLink(settings.superlink)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", settings.superlink.port))
    from federation.flower.keys import node_keys  # with it comes cryptography, of the extra `federation`

    keys = f", {len(node_keys(settings.keys))} nodes may take part" if settings.keys else ", no keys"
    return f"port {settings.superlink.port} on loopback is free{keys}"


def _port(settings: TelemetrySettings) -> str:
    endpoints = Endpoints(Health(SystemClock(), 1.0), Metrics(), settings.host, settings.port, settings.access)
    endpoints.close()
    return f"port {endpoints.port} on {endpoints.host} is free"
