"""Trainers that tests put into the trainer's own process; imported there by name."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from federation.errors import TrainerError
from federation.flower.record_codec import pack, unpack
from federation.protocol import messages
from federation.protocol.records import Update
from federation.region.trainer_process import Handler
from tests.support.prepared import PreparedRegion


def misbehaving() -> Handler:
    """Acts by the kind of the job."""

    def handle(kind: str, body: bytes) -> bytes:
        if kind == "hang":
            if body:
                Path(body.decode()).touch()
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


def scripted(region: str, folder: Path) -> Handler:
    """A region that moves every float array by 1, unless the file `script` in its folder overrides it.

    `nan`: its updates are not numbers. `hang`: it never finishes a training. `hold`: it makes the file `held`
    when a training starts, and waits until `script` is gone.
    """

    def spoil(update: Update) -> Update:
        script = folder / "script"
        word = script.read_text() if script.exists() else ""
        if word == "nan":
            return replace(update, weights={k: v * np.float32("nan") for k, v in update.weights.items()})
        if word == "hang":
            time.sleep(3600)
        if word == "hold":
            (folder / "held").touch()
            while script.exists():
                time.sleep(0.05)
        return update

    answering = PreparedRegion(region, spoil=spoil)
    return lambda kind, body: pack(messages.answer(answering, kind, unpack(body)))


def late(go: Path) -> Handler:
    """Takes as long to build as it takes the file `go` to appear."""
    while not go.exists():
        time.sleep(0.01)
    return lambda kind, body: b"built"
