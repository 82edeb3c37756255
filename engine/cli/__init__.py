"""The command `driftline`: one Typer application, one file per group of commands."""

import os
import sys


def main() -> None:
    """Entry point: sets the environment that libraries read when they are imported, then runs the command."""
    from engine.telemetry.opt_out import silence_third_parties

    silence_third_parties(os.environ)
    # One thread per process: workers are processes, and threads of a library would only contend.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from engine.cli.app import run_command

    sys.exit(run_command())
