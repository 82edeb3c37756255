"""The engine's side of the model store: which version is current, and how one is put into service."""

import logging
import os
from pathlib import Path

from engine.observe.telemetry import Telemetry
from engine.settings import RegionSettings
from engine.swap import ModelFollower, ModelSettings, ServingModel, Templates
from models.scoring import WindowScorer
from models.store import ModelStore

log = logging.getLogger(__name__)


def embedding_cache() -> Path:
    """Where encoded template texts are kept between runs: `driftline/embeddings` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "driftline" / "embeddings"


def follower(settings: RegionSettings, templates: Templates, telemetry: Telemetry) -> ModelFollower:
    """A follower of the configured model that reports to metrics, health and the log."""
    store = ModelStore(settings.model.store)
    name = settings.model.name

    def load(version: int) -> ServingModel:
        stored = store.load(name, version, device=settings.model.device, cache=embedding_cache())
        stored.detector.prepare()
        scorer = WindowScorer(
            stored.detector, version, stored.card.threshold.value, cache_entries=settings.score.cache_entries
        )
        return ServingModel(name, version, scorer, templates, telemetry.health.progress)

    def report(outcome: str, version: int, sentence: str) -> None:
        telemetry.metrics.model_swaps.labels(outcome).inc()
        if outcome in ("swapped", "recovered"):
            telemetry.health.ok("model", sentence)
            log.info("model %s", outcome, extra={"model": name, "version": version})
            return
        log.error("model not taken over: %s", sentence, extra={"outcome": outcome})
        if following.ready:
            # Lines still become alerts: taking the engine out of service would only lose them.
            serving = following.get().version
            telemetry.health.ok("model", f"{name} version {serving} goes on; not taken over: {sentence}")
        else:
            telemetry.health.fail("model", sentence)

    following = ModelFollower(lambda: store.current(name), load, report)
    return following


def describe_current(settings: ModelSettings) -> str:
    """Verifies the current version and says what it is.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    store = ModelStore(settings.store)
    card = store.card(settings.name)
    store.verify(settings.name, card.version)
    return f"{card.name} version {card.version}: {card.detector}, threshold {card.threshold.value:.6g}, verified"
