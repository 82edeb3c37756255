"""The flow under Bytewax's own launcher: several processes that share one stream and exchange lines by session.

For streams in which a session's lines cross partitions: `route = "session"` and `shards` of at least
the number of processes. Every process runs the same command but for its number::

    python -m bytewax.recovery RECOVERY 2
    python -m bytewax.run "engine.runtime.cluster:flow('region.toml')" -r RECOVERY -s 1 -b 0 \
        -i 0 -a "host0:2101;host1:2101"

Recovery is Bytewax's: `-r` names a folder that all processes reach, `-s` the seconds between two
snapshots; `recovery` of the region's file is not used. A process that dies takes the others with it,
and all are started again. Process i serves its endpoints on the port configured plus i.
"""

import atexit
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from bytewax.dataflow import Dataflow

from engine import dataflow
from engine.clock import SystemClock
from engine.flow.worker_context import Drain
from engine.runtime.state_rows import forget_unfinished, refuse_code
from engine.runtime.worker import context, wait_for_model
from engine.settings import SettingsFileError, load
from engine.telemetry.logs import setup_logging
from engine.telemetry.telemetry import Telemetry


def flow(region: str) -> Dataflow:
    """The flow of this process, with a model in service; SIGTERM and SIGINT drain it.

    Args:
        region: Path of the region's TOML file.

    Raises:
        SettingsFileError: see `engine.settings.load`, or the settings are not made for a cluster.
        RecoveryError: see `engine.runtime.state_rows.refuse_code`.
    """
    settings = load(Path(region))
    if settings.route != "session":
        raise SettingsFileError(
            f'{region}: route: a cluster exchanges lines by session and needs "session", got {settings.route!r}; '
            "workers that share nothing are started by `driftline run --workers N`"
        )
    setup_logging(settings.log, secrets=settings.secrets())
    clock = SystemClock()
    drain = Drain(clock, settings.drain_s)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: drain.request())
    parts = ExitStack()
    atexit.register(parts.close)
    process = int(launched_with(("-i", "--process-id"), "BYTEWAX_PROCESS_ID") or 0)
    folder = launched_with(("-r", "--recovery-directory"), "BYTEWAX_RECOVERY_DIRECTORY")
    if process == 0 and folder is not None:
        # No process runs the flow before all have got this far.
        forget_unfinished(Path(folder))
        refuse_code(Path(folder))
    telemetry = parts.enter_context(Telemetry(settings.telemetry, clock, os.environ, settings.region, process))
    telemetry.health.ok("recovery", "kept by Bytewax")
    running = parts.enter_context(context(settings, 0, 1, clock, drain, telemetry))
    if not wait_for_model(running):
        raise SystemExit(0)
    return dataflow.build(running)


def launched_with(options: tuple[str, ...], variable: str) -> str | None:
    """An option of Bytewax's launcher, from the command line or else from the environment."""
    for option in options:
        if option in sys.argv[:-1]:
            return sys.argv[sys.argv.index(option) + 1]
    return os.environ.get(variable)
