"""The engine's side of the model store: which version is current, and how it is activated."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from connectors.base import Source
from engine.clock import Clock
from engine.serving.hot_swap import Follower, ModelSettings, ServingModel, Templates
from engine.serving.rejected_versions import RejectedVersions
from engine.serving.shadow import ModelFollower, ShadowRules
from engine.settings import RegionSettings
from engine.steps.classify import AlertClassifier, Classify, ClassifySettings, ServingClassifier
from engine.steps.parse import Parser
from engine.steps.preprocessing import DECISIVE, described, described_lines, differences
from engine.steps.window import other_gap
from engine.telemetry.telemetry import Telemetry
from models.base import ModelStoreError
from models.classify.rules import Rules, RulesSettings
from models.classify.scoring import LineScorer
from models.storage.model_cards import Card, ClassifierCard
from models.storage.store import ModelStore
from models.text.embeddings import embedding_cache
from models.training.scoring import WindowScorer

log = logging.getLogger(__name__)


def follower(settings: RegionSettings, templates: Templates, telemetry: Telemetry) -> ModelFollower:
    """A follower of the configured model that reports to metrics, health and the log."""
    store = ModelStore(settings.scoring.store, most=settings.scoring.max_weights_bytes)
    name = settings.scoring.name

    def load(version: int) -> ServingModel:
        card = store.card(name, version)
        for warning in _other_preprocessing(card, settings):
            log.warning("%s version %d: %s", name, version, warning)
        trace = str(card.data.get("traceparent", ""))  # of the round that made it
        with telemetry.tracer.span("load model", trace, model=name, version=version):
            stored = store.load(name, version, device=settings.scoring.device, cache=embedding_cache())
            stored.detector.prepare()
        threshold = stored.card.threshold_in(settings.region)
        scorer = WindowScorer(stored.detector, version, threshold.value, cache_entries=settings.score.cache_entries)
        return ServingModel(
            name, version, scorer, templates, telemetry.health.progress, threshold,
            f1=stored.card.f1, gap_s=stored.card.gap_s,
        )  # fmt: skip

    def report(outcome: str, version: int, sentence: str) -> None:
        telemetry.metrics.model_swaps.labels(outcome).inc()
        if following.ready:
            # Reported here as well as where windows are scored: a quiet stream must not hide a swap.
            telemetry.metrics.model_version.labels(name).set(following.get().version)
        if outcome in ("swapped", "recovered", "shadowing"):
            telemetry.health.ok("model", sentence)
            log.info("model %s", outcome, extra={"model": name, "version": version})
            return
        if outcome == "taken_back":
            telemetry.health.ok("model", sentence)
            log.error("%s", sentence, extra={"outcome": outcome})
            return
        log.error("model not adopted: %s", sentence, extra={"outcome": outcome})
        if following.ready:
            # Lines still become alerts: taking the engine out of service would only lose them.
            serving = following.get().version
            telemetry.health.ok("model", f"{name} version {serving} stays in use; not adopted: {sentence}")
        else:
            telemetry.health.fail("model", sentence)

    chosen = settings.scoring
    rules = ShadowRules(
        chosen.shadow_windows, chosen.shadow_factor, chosen.shadow_margin, settings.drift.floor("precision"),
        settings.decide.threshold,
    )  # fmt: skip
    memory = RejectedVersions(settings.recovery.path / "passed-over.json", name)
    following = ModelFollower(lambda: store.current(name, settings.region), load, report, rules, memory)
    return following


def classifier_follower(
    chosen: ClassifySettings, settings: RegionSettings, telemetry: Telemetry
) -> Follower[ServingClassifier]:
    """A follower of the configured line classifier; without one in service alerts go out without a class."""
    store, name = _classifiers(chosen, settings), chosen.name

    def current() -> int | None:
        published = None if store is None else store.current(name)
        return 1 if published is None and name == Rules.name else published

    def load(version: int) -> ServingClassifier:
        if store is None or (name == Rules.name and store.current(name) is None):
            return ServingClassifier(name, version, LineScorer(Rules(RulesSettings()), version))
        stored = store.load_classifier(name, version, device=chosen.device, cache=embedding_cache())
        for warning in _other_lines(stored.card, settings):
            log.warning("%s version %d: %s", name, version, warning)
        stored.classifier.prepare()
        return ServingClassifier(name, version, LineScorer(stored.classifier, version))

    def report(outcome: str, version: int, sentence: str) -> None:
        telemetry.metrics.model_swaps.labels(outcome).inc()
        if outcome in ("swapped", "recovered"):
            telemetry.metrics.model_version.labels(name).set(version)
            log.info("line classifier %s", outcome, extra={"model": name, "version": version})
        else:
            log.error("line classifier not adopted: %s", sentence, extra={"outcome": outcome})

    return Follower(current, load, report)


def _classifiers(chosen: ClassifySettings, settings: RegionSettings) -> ModelStore | None:
    """The store of the line classifier; None if the region has none, which the built-in rules do without."""
    url = chosen.store or (settings.model.store if settings.model is not None else "")
    return ModelStore(url) if url else None


@contextmanager
def classifying(
    settings: RegionSettings, source: Source, clock: Clock, telemetry: Telemetry
) -> Iterator[Classify | None]:
    """A context with the configured line classifier, whose store is followed while inside; None if absent."""
    chosen = settings.classify
    if chosen is None:
        yield None
        return
    following = classifier_follower(chosen, settings, telemetry)
    following.look()
    following.follow(chosen.poll_s)

    def count(kind: str) -> None:
        telemetry.metrics.alert_classes.labels(kind).inc()

    try:
        yield AlertClassifier(chosen, following, Parser(settings.parse, source.describe), clock, count)
    finally:
        following.stop()


def describe_classifier(settings: RegionSettings) -> str:
    """Verify the current version of the line classifier and describe it, and what differs from its training.

    Raises:
        ModelStoreError: it does not exist, is damaged, or is a window detector.
    """
    if settings.classify is None:
        raise ValueError("no line classifier is configured")
    store = _classifiers(settings.classify, settings)
    if store is None or (settings.classify.name == Rules.name and store.current(Rules.name) is None):
        return "rules: those that come with the package"
    card = store.verify(settings.classify.name)
    if not isinstance(card, ClassifierCard):
        raise ModelStoreError(
            f"classify.name: {card.name} version {card.version} is a window detector, not a line classifier"
        )
    return "; ".join([f"{card.name} version {card.version}: {card.detector}, verified", *_other_lines(card, settings)])


def _other_lines(card: ClassifierCard, settings: RegionSettings) -> list[str]:
    """Settings of a region that differ from those that a line classifier's lines were made with."""
    found = differences(card.preprocessing, described_lines(settings.parse))
    return [f"{sentence}, so its classes may not fit" for sentence in found.values()]


def rule_patterns(chosen: ClassifySettings, settings: RegionSettings) -> list[str]:
    """Return the regular expressions of the published rules; none for other classifiers and the built-in rules.

    Raises:
        ModelStoreError: the version cannot be read.
    """
    store = _classifiers(chosen, settings)
    version = None if store is None else store.current(chosen.name)
    if store is None or version is None or store.any_card(chosen.name, version).detector != Rules.name:
        return []
    rules = store.load_classifier(chosen.name, version).classifier
    return [rule.pattern for rule in rules.rules if rule.pattern] if isinstance(rules, Rules) else []


def describe_current(settings: ModelSettings, region: RegionSettings | None = None) -> str:
    """Verify the current version and describe it, and what a region does otherwise than its training did.

    Raises:
        ModelStoreError: it does not exist, is damaged, or was trained on another kind of windows.
    """
    store = ModelStore(settings.store, most=settings.max_weights_bytes)
    card = store.card(settings.name, store.current(settings.name, "" if region is None else region.region))
    store.verify(settings.name, card.version)
    threshold = card.threshold if region is None else card.threshold_in(region.region)
    found = [f"{card.name} version {card.version}: {card.detector}, threshold {threshold.value:.6g}, verified"]
    if region is not None:
        found += filter(None, (other_gap(region.window, card.gap_s), *_other_preprocessing(card, region)))
    return "; ".join(found)


def _other_preprocessing(card: Card, settings: RegionSettings) -> list[str]:
    """Settings of a region that differ from those of a model's training.

    Raises:
        ModelStoreError: the model cannot score under them.
    """
    found = differences(card.preprocessing, described(settings.parse, settings.window))
    if decisive := [found[name] for name in DECISIVE if name in found]:
        raise ModelStoreError(f"{card.name} version {card.version} does not fit the settings: {'; '.join(decisive)}")
    return [f"{sentence}, so its scores may not fit" for sentence in found.values()]
