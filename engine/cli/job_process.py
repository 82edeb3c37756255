"""The process of one job: `python -m engine.cli.job_process FOLDER`, started by `engine.api.job_runner`.

It reads `job.json` in the folder, and writes progress and the result to standard output as JSON lines. Standard
input stays open as long as the service lives; at its end the job ends as well. Publishing is atomic, so it may be
killed at any time.
"""

import fcntl
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from engine.offline.training_job import LOCK, TrainingJob, run_training
from engine.telemetry.logs import LogSettings, setup_logging
from foundation.errors import DriftlineError

log = logging.getLogger(__name__)

NICENESS = 10
"""Engines and the API on the same machine have priority."""

PERIOD_S = 0.25
"""Time between two reports of progress within a stage."""


class Reporter:
    """Writes events; as a `models.base.Progress` it reports a stage when it changes, and every `PERIOD_S`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stage = ""
        self._next_s = 0.0

    def __call__(self, stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        """See `models.base.Progress`."""
        now_s = time.monotonic()
        if stage == self._stage and done < total and now_s < self._next_s:
            return
        if stage != self._stage:
            log.info("%s", stage)
        self._stage, self._next_s = stage, now_s + PERIOD_S
        self.write({"stage": stage, "done": done, "total": total, "figures": dict(figures)})

    def write(self, event: Mapping[str, Any]) -> None:
        """Write one event."""
        self._file.write(orjson.dumps(event, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
        self._file.flush()


def main() -> int:
    """Run the job of the folder that the command line names; the exit status."""
    folder = Path(sys.argv[1])
    threading.Thread(target=_end_with_service, daemon=True).start()
    os.nice(NICENESS)
    events = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints belongs into the log
    setup_logging(LogSettings(format="text"))
    reporter = Reporter(events)
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            job = TrainingJob.model_validate_json((folder / "job.json").read_bytes())
            report = run_training(job, reporter)
        except DriftlineError as error:
            log.error("%s", error)
            reporter.write({"error": str(error)})
            return 1
        except Exception as error:
            # The edge of a process: the user sees any failure of a training, and the log has the rest.
            log.exception("the job failed")
            reporter.write({"error": f"{type(error).__name__}: {error}"})
            return 1
        log.info("published %s version %d", report.model, report.version)
        reporter.write({"report": report.model_dump(mode="json")})
    return 0


def _end_with_service() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not by its buffer, whose lock would be held when the interpreter ends
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
