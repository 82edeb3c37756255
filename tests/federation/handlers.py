"""Trainers that tests put into the trainer's own process; imported there by name."""

import os
import signal
import time
from pathlib import Path

from federation.base import TrainerError
from federation.trainer_process import Handler


def misbehaving() -> Handler:
    """Does what the kind of the job says."""

    def handle(kind: str, body: bytes) -> bytes:
        if kind == "hang":
            time.sleep(3600)
        if kind == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "refuse":
            raise TrainerError("no windows to train on")
        if kind == "break":
            raise ZeroDivisionError("division by zero")
        if kind == "who":
            return f"{os.getpid()} {os.nice(0)} {os.environ['OMP_NUM_THREADS']}".encode()
        if kind == "touch":
            Path(body.decode()).touch()
        return body[::-1]

    return handle


def unbuildable() -> Handler:
    """A region whose training store cannot be opened."""
    raise TrainerError("the training store is damaged")


def echo() -> Handler:
    """Answers what it was asked."""
    return lambda kind, body: body
