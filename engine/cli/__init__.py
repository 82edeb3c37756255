"""The command `driftline`: one Typer application, one file a group of commands."""

import os
import sys


def main() -> None:
    """Entry point: sets what must be set before the numerical libraries load, then runs the command."""
    from engine.telemetry.tracing import silence_third_parties

    silence_third_parties(os.environ)
    # One thread a process: workers are processes, and threads of a library would only contend.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from engine.cli.app import run_command

    sys.exit(run_command())
