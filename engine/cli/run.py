"""`driftline run` and `driftline check`."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.output import console, print_json, table

RegionFile = Annotated[Path, typer.Argument(help="The region's TOML file.", show_default=False)]


def run(
    region: RegionFile,
    workers: Annotated[int, typer.Option(min=1, help="Independent worker processes on this machine.")] = 1,
    worker: Annotated[int | None, typer.Option(min=0, help="Run only worker number i, with --of N.")] = None,
    of: Annotated[
        int | None, typer.Option(min=1, help="Total number of workers on all machines, with --worker.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with code 1 if more than 1 % of the lines went to the dead letters.")
    ] = False,
) -> None:
    """Run a region's engine until its source ends, or until SIGTERM or SIGINT, which drain it.

    Example: driftline run eu-west.toml --workers 2
    """
    from engine.settings import load

    settings = load(region)
    if (worker is None) != (of is None):
        raise typer.BadParameter("--worker and --of are needed together: worker i of N, with i from 0")
    if worker is not None and of is not None:
        if worker >= of:
            raise typer.BadParameter(f"--worker {worker} of --of {of}: workers are numbered from 0 to {of - 1}")
        if workers != 1:
            raise typer.BadParameter("--workers starts several workers and --worker runs one: give one of the two")
        _die_with_parent()
        from engine.runtime.worker import run as run_worker

        raise typer.Exit(run_worker(settings, worker, of, strict=strict))
    if workers == 1:
        from engine.runtime.worker import run as run_worker

        raise typer.Exit(run_worker(settings, strict=strict))
    if strict:
        raise typer.BadParameter("--strict is for one worker: start each with --worker i --of N")
    raise typer.Exit(_supervise(region, workers))


def _supervise(region: Path, workers: int) -> int:
    from engine.clock import SystemClock
    from engine.runtime.liveness import Liveness
    from engine.runtime.supervisor import Supervisor
    from engine.settings import load
    from engine.stop_flag import StopFlag
    from engine.telemetry.logs import setup_logging

    settings = load(region)
    setup_logging(settings.log, secrets=settings.secrets())
    stop = StopFlag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def command(i: int) -> list[str]:
        return [sys.executable, "-m", "engine.cli", "run", str(region), "--worker", str(i), "--of", str(workers)]

    # A worker stops waiting after its time limit; the rest is for saving and closing.
    clock = SystemClock()
    liveness = Liveness(settings.telemetry, clock)
    kill_after_s = settings.drain_s + 2.0
    return Supervisor(command, workers, clock, stop, kill_after_s=kill_after_s, stuck=liveness.stuck).run()


def _die_with_parent() -> None:
    """Makes a worker drain and end when its supervisor is killed, so that a new supervisor finds its folder free."""
    import ctypes

    PR_SET_PDEATHSIG = 1
    supervisor = os.environ.get("DRIFTLINE_SUPERVISED")
    if sys.platform == "linux" and supervisor is not None:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if str(os.getppid()) != supervisor:  # it was killed before this call
            os.kill(os.getpid(), signal.SIGTERM)


def check(
    region: Annotated[Path, typer.Argument(help="A region's TOML file, or the coordinator's.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Check everything that an engine and its node, or the coordinator, need: connections, model, folders, keys, ports.

    Example: driftline check eu-west.toml
    """
    from engine.runtime.preflight import preflight, preflight_coordinator
    from engine.settings import CoordinatorSettings, load_either

    settings = load_either(region)
    if isinstance(settings, CoordinatorSettings):
        findings = list(preflight_coordinator(settings))
    else:
        findings = list(preflight(settings))
    ok = all(f.ok for f in findings)
    if json:
        rows = [{"name": f.name, "ok": f.ok, "detail": f.detail} for f in findings]
        print_json({"ok": ok, "findings": rows})
    else:
        results = table("", "part", "finding", title=f"{region}")
        for f in findings:
            results.add_row("[green]ok[/]" if f.ok else "[red]fails[/]", f.name, f.detail)
        console().print(results)
    raise typer.Exit(0 if ok else 2)
