"""Worker: one process that runs one flow, from start to a clean end.

1. Serve health and metrics, so that any later failure is visible.
2. Open the recovery folder.
3. Wait for a model, then follow the store; wait until every sink can be opened.
4. Run the flow until its source ends or a stop is requested.
5. On SIGTERM or SIGINT: sources end, lines already read are scored and delivered, positions are saved.
"""

import gc
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from bytewax.errors import BytewaxRuntimeError
from bytewax.run import cli_main

from connectors.base import Source
from connectors.registry import build_source
from engine import dataflow
from engine.clock import Clock, SystemClock
from engine.flow.outputs import try_sinks
from engine.flow.worker_context import Context, Drain
from engine.parsing.compile_loops import compile_loops
from engine.runtime import recovery
from engine.runtime.malloc import keep_freed_memory
from engine.runtime.model_loading import classifying, follower
from engine.runtime.state_rows import RecoveryFullError
from engine.runtime.stop_signals import StopSignals
from engine.serving.hot_swap import Templates
from engine.settings import RegionSettings
from engine.steps.sinks import DrainTimeoutError
from engine.steps.source import StoppedEarlyError
from engine.steps.suspects import Suspects
from engine.steps.training_sampler import collecting
from engine.steps.window import other_gap, with_trained_gap
from engine.telemetry.logs import setup_logging
from engine.telemetry.telemetry import Telemetry
from engine.windows.recent import RecentLines
from engine.windows.window_base import NoRoomForWindowsError
from foundation import native_stderr
from foundation.errors import DriftlineError

log = logging.getLogger(__name__)

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

BUILD_AGAIN = -1
"""Not an exit code: the flow ended to be built again, with the partitions that the source has by now."""

YOUNG_OBJECTS = 50_000
"""Objects made, less objects freed, between two looks of the garbage collector at the young ones."""

MODEL_WAIT_LOG_S = 30.0

COMPILE_POLL_S = 0.5
"""Pause between two reports of progress while the parser is compiled."""


def run(
    settings: RegionSettings, worker: int = 0, of: int = 1, clock: Clock | None = None, *, strict: bool = False
) -> int:
    """Runs worker `worker` of `of` and returns the process's exit code.

    With `strict`, it is not 0 if more than a small share of the lines went to the dead letters.
    """
    clock = clock or SystemClock()
    setup_logging(settings.log, secrets=settings.secrets())
    try:
        source = build_source(settings.source, worker=worker, of=of)
        with Telemetry(
            settings.telemetry, clock, os.environ, settings.region, worker, dated=settings.parse.format != "raw"
        ) as telemetry:
            code = BUILD_AGAIN
            with StopSignals() as signals:
                while code == BUILD_AGAIN:
                    drain = Drain(clock, settings.drain_s, rebuilds=True)
                    signals.drain(drain)
                    code = _run(settings, worker, of, source, clock, drain, telemetry)
            return EXIT_FAILED if strict and code == EXIT_OK and telemetry.input.wrong else code
    except RecoveryFullError as error:
        log.error("stopped; it resumes from the last snapshot at the next start with free space: %s", error)
        return EXIT_FAILED
    except DriftlineError as error:
        print(f"driftline: {error}", file=sys.stderr)
        return EXIT_USAGE


def _run(
    settings: RegionSettings, worker: int, of: int, source: Source, clock: Clock, drain: Drain, telemetry: Telemetry
) -> int:
    config = recovery.prepare(settings, worker, of)
    telemetry.health.ok("recovery")
    folder = recovery.folder_of(settings, worker, of)
    suspects = Suspects(folder)
    with context(settings, worker, of, clock, drain, telemetry, source) as running:
        if not (wait_for_model(running) and try_sinks(running)):
            return EXIT_OK
        running = replace(with_gap_of_model(running), suspects=suspects, state_folder=folder)
        _compile(telemetry)
        log.info("engine started", extra={"region": settings.region, "worker": worker, "of": of})
        _spare_collector()
        keep_freed_memory()
        try:
            with native_stderr.unmuted_after():
                cli_main(  # type: ignore[no-untyped-call]  # Bytewax leaves it without annotations
                    dataflow.build(running),
                    epoch_interval=timedelta(seconds=settings.recovery.snapshot_s),
                    recovery_config=config,
                )
        except BytewaxRuntimeError as error:
            return _failed(error)
        except RuntimeError as error:
            if not recovery.no_room(error):
                raise
            raise RecoveryFullError(
                f"recovery.path: no snapshot can be written to {settings.recovery.path}: No space left on device"
            ) from error
    if reason := drain.again:
        log.info("%s; the flow is built again to read them", reason)
        recovery.release()
        return BUILD_AGAIN
    (log.warning if telemetry.input.worth_a_warning else log.info)("%s", telemetry.input.summary())
    log.info("engine stopped", extra={"region": settings.region, "worker": worker})
    return EXIT_OK


def _compile(telemetry: Telemetry) -> None:
    """Compiles the parser, which takes a while on a new machine, and reports progress meanwhile."""
    compiler = threading.Thread(target=compile_loops, name="compile", daemon=True)
    compiler.start()
    while compiler.is_alive():
        telemetry.health.progress()
        compiler.join(COMPILE_POLL_S)


def _spare_collector() -> None:
    """Takes everything loaded so far out of the cyclic garbage collector, and lets it run less often.

    The numerical libraries leave about a million objects behind that never die. Each full collection
    walks them, a pause of 0.1 s and more in the middle of the stream; and every poll of a broker makes
    thousands of objects, which asks for collections all the time. What the steps make has no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


def _failed(error: BytewaxRuntimeError) -> int:
    """The exit code for a flow that failed; an unknown error is raised again for its traceback.

    Bytewax wraps what a step raises, once for each of its own layers.
    """
    cause: BaseException | None = error
    while isinstance(cause, BytewaxRuntimeError):
        cause = cause.__cause__
    if isinstance(cause, StoppedEarlyError):
        return EXIT_OK
    if isinstance(cause, DrainTimeoutError):
        log.error("stopped without delivering everything; it will be read again: %s", cause)
        return EXIT_FAILED
    if isinstance(cause, NoRoomForWindowsError):
        raise RecoveryFullError(f"recovery.path: {cause}") from error
    if isinstance(cause, DriftlineError):
        raise cause  # a restart would meet it again: `run` states so and ends with the usage code
    raise error


@contextmanager
def context(
    settings: RegionSettings, worker: int, of: int, clock: Clock, drain: Drain, telemetry: Telemetry,
    source: Source | None = None,
) -> Iterator[Context]:  # fmt: skip
    """The running parts of one worker; the model store is followed while inside. Builds the source unless given."""
    templates: Templates = {}
    models = None if settings.model is None else follower(settings, templates, telemetry)
    if models is not None and settings.model is not None:
        models.look()
        models.follow(settings.model.poll_s)
    else:
        telemetry.health.ok("model", "none: findings are made from the stream itself")
    source = source or build_source(settings.source, worker=worker, of=of)
    try:
        with (
            classifying(settings, source, clock, telemetry) as classify,
            collecting(
                settings.region, settings.training, templates, clock, telemetry,
                fixed_threshold=settings.decide.threshold,
            ) as collector,
        ):  # fmt: skip
            yield Context(
                settings,
                worker,
                of,
                source,
                clock,
                drain,
                templates,
                RecentLines(settings.alert.recent_bytes),
                models,
                telemetry,
                classify=classify,
                collector=collector,
            )
    finally:
        if models is not None:
            models.stop()


def wait_for_model(running: Context) -> bool:
    """True once a model is in service; False if a stop was requested before."""
    if running.follower is None:
        return True
    said_s = -MODEL_WAIT_LOG_S
    while not running.follower.ready:
        running.telemetry.health.progress()
        if running.clock.monotonic_s() - said_s >= MODEL_WAIT_LOG_S:
            said_s = running.clock.monotonic_s()
            log.warning("waiting for a model", extra={"store": running.settings.scoring.store})
        if running.drain.requested.wait(0.2):
            return False
    return True


def with_gap_of_model(running: Context) -> Context:
    """The same parts, with the session gap that the model in service was trained with, unless one is set."""
    if running.follower is None:
        return running
    settings, gap_s = running.settings, running.follower.get().gap_s
    if warning := other_gap(settings.window, gap_s):
        log.warning("%s", warning)
    window = with_trained_gap(settings.window, gap_s)
    if window is settings.window:
        return running
    log.info("session gap of the model", extra={"gap_s": gap_s})
    return replace(running, settings=settings.model_copy(update={"window": window}))
