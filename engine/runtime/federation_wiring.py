"""Build the coordinator and a region's node from their settings."""

import fcntl
import functools
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.registry import build_sink, build_source
from engine.settings import CoordinatorSettings, RegionSettings
from engine.telemetry.rounds import TRACE_ALL, RoundTelemetry
from federation.coordinator.audit import AuditLog
from federation.coordinator.background_runner import BackgroundRunner
from federation.coordinator.controller import Controller, ControllerParts, ControllerSettings
from federation.coordinator.coordinator import Coordinator
from federation.coordinator.drift_events import event_feed
from federation.coordinator.ledger import Ledger
from federation.coordinator.rollback import Rollbacks
from federation.errors import SetupError
from federation.flower.superlink import SuperLink
from federation.region.region_policy import AllowedModels, PrivacyDemand
from federation.storage.training_store import TrainingSettings
from foundation.document_signatures import Verifier
from foundation.extras import require
from models.storage.store import ModelStore

if TYPE_CHECKING:
    from federation.region.trainer_process import Handler


LOCK = "coordinator.lock"

ROLLBACK_WAIT_S = 30.0
"""Time for a running coordinator to complete a rollback; it looks for one several times a second."""

ROLLBACK_LOOK_S = 0.2


def ledger_of(settings: CoordinatorSettings) -> Ledger:
    """The coordinator's ledger; any process may open it."""
    return Ledger(settings.folder / "ledger.db")


def rounds_folder(settings: CoordinatorSettings) -> Path:
    """The folder with a folder for each round."""
    return settings.folder / "rounds"


def audit_of(settings: CoordinatorSettings) -> AuditLog:
    """The coordinator's audit log; any process may add to it."""
    return AuditLog(settings.folder / "audit.jsonl", now_ns=time.time_ns)


def rollbacks_of(settings: CoordinatorSettings, ledger: Ledger) -> Rollbacks:
    """What rolls versions back and records it."""
    return Rollbacks(ledger, ModelStore(settings.store), audit_of(settings), now_ns=time.time_ns)


def roll_back(settings: CoordinatorSettings, model: str, to: int | None, reason: str) -> tuple[int, bool]:
    """Roll the current version back and record it.

    A running coordinator does it, between two steps of a round. Without one it is done here, and a step that fails
    now (the model store is down) is repeated by the next coordinator.

    Returns:
        The version to go back to, and whether the rollback is complete.

    Raises:
        models.base.ModelStoreError: there is no earlier version, or it is damaged.
    """
    with ledger_of(settings) as ledger:
        rollbacks = rollbacks_of(settings, ledger)
        planned = rollbacks.begin(f"command-{secrets.token_hex(8)}", model, to, reason)
        if is_running(settings):
            end_s = time.monotonic() + ROLLBACK_WAIT_S
            while not (done := _is_done(ledger, planned.id)) and time.monotonic() < end_s:
                time.sleep(ROLLBACK_LOOK_S)
            return planned.good, done
        return rollbacks.finish(planned).good, True


def _is_done(ledger: Ledger, identity: str) -> bool:
    return all(rollback.id != identity for rollback in ledger.open_rollbacks())


def new_round_id() -> str:
    """Sorts by time, and is never the same twice."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


@contextmanager
def coordinator(settings: CoordinatorSettings, telemetry: RoundTelemetry) -> Iterator[Coordinator]:
    """The coordinator with its SuperLink running; both end with the context.

    Raises:
        SetupError: another coordinator runs in the same folder, or the SuperLink does not start.
        MissingExtraError: the extra `federation` is not installed.
    """
    require("federation", "federated retraining")
    from federation.flower.keys import node_keys

    with ExitStack() as stack:
        stack.enter_context(_alone(settings.folder))
        ledger = stack.enter_context(ledger_of(settings))
        link = stack.enter_context(SuperLink(settings.superlink))
        keys = node_keys(settings.keys) if settings.keys else {}
        for region, key in keys.items():
            link.register(key, region)
        store = ModelStore(settings.store)
        rollbacks = rollbacks_of(settings, ledger)
        runner = BackgroundRunner(link, clock=time.monotonic)
        controller = Controller(
            ControllerSettings(
                settings.model, rounds_folder(settings), settings.regions, settings.schedule, settings.round
            ),
            ControllerParts(ledger, store, runner, rollbacks, telemetry),
            now_ns=time.time_ns,
            new_id=new_round_id,
        )
        controller.hold_lease()
        events = event_feed(
            build_source(settings.events), build_sink(settings.dead_letters), ledger, store, settings.model,
            settings=settings.schedule, regions=settings.regions, now_ns=time.time_ns,
            verifier=Verifier(keys, required=settings.signed_events) if settings.keys else None,
        )  # fmt: skip
        yield Coordinator(controller, events, runner, telemetry)


def is_running(settings: CoordinatorSettings) -> bool:
    """Whether a coordinator runs in this folder, on this machine."""
    try:
        with (settings.folder / LOCK).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SetupError(f"another coordinator is already running in {folder}; stop it first") from error
        yield


def trainer_build(settings: RegionSettings) -> "Callable[[], Handler]":
    """Makes the region's trainer inside its own process.

    Raises:
        SetupError: the region keeps no training store.
        MissingExtraError: the extra `federation` is not installed.
    """
    require("federation", "federated retraining")
    if settings.training is None:
        raise SetupError(f"region {settings.region} has no [training]: without it there is nothing to learn from")
    demand, others = (settings.node.privacy, settings.node.encoders) if settings.node else (PrivacyDemand(), ())
    models = [(settings.scoring.store, settings.scoring.name)]
    if settings.classify is not None:
        models.append((settings.classify.store or settings.scoring.store, settings.classify.name))
    own = AllowedModels(models, others)
    return functools.partial(_trainer, settings.region, settings.training, settings.scoring.device, demand, own)


def _trainer(
    region: str, training: TrainingSettings, device: str, demand: PrivacyDemand, own: AllowedModels
) -> "Handler":
    """Runs in the trainer's process: answers messages, one span each below the round's."""
    from engine.telemetry.tracing import Tracer
    from federation.flower.record_codec import pack, unpack
    from federation.protocol import messages
    from federation.region.trainer import Trainer
    from federation.storage.training_store import TrainingStore
    from models.text.embeddings import embedding_cache

    store = TrainingStore(training.path, training, now_ns=time.time_ns)
    trainer = Trainer(region, store, device=device, cache=embedding_cache())
    tracer = Tracer.from_environment(os.environ, TRACE_ALL, region=region)
    warming: threading.Thread | None = None

    def handle(kind: str, body: bytes) -> bytes:
        content = unpack(body)
        task = messages.task_of(content)
        if sentence := demand.refusal(region, task.privacy) or own.refusal(region, task.spec):
            return pack(messages.failure(region, sentence))
        nonlocal warming
        if warming is not None:
            warming.join()  # two threads that import the same modules may see half of one
            warming = None
        if kind == messages.HELLO:  # while the other regions answer
            warming = threading.Thread(target=trainer.warm_up, name="warm-up", daemon=True)
            warming.start()
        with tracer.span(f"region.{kind}", task.traceparent, round=task.round_id, number=task.number):
            return pack(messages.answer(trainer, kind, content))

    return handle
