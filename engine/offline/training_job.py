"""A training that was asked for elsewhere, such as in the console: `driftline train` with the options as a record.

Data are files, as on the command line, or the training store of a region. Of the latter, the windows for training
are learnt from; the held-out ones stay unseen, so that the gate of a round can judge the version by them, and the
report has the figures on them.
"""

import time
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.corpus.data import DataError
from engine.offline.detect import (
    Preprocessing,
    as_trained,
    default_preprocessing,
    derive_gap,
    gap_facts,
    region_preprocessing,
    train_on_log,
)  # fmt: skip
from engine.offline.inputs import LogSpec, require_unpacked
from engine.offline.labelled_lines import read_labelled
from engine.offline.recalibrate import recalibrate, refit
from engine.parsing.parse_settings import ParseSettings
from engine.settings import RegionSettings, load
from engine.steps.preprocessing import described, described_lines
from federation.region.holdout import count_labels
from federation.storage.learning import LearningSet, Purpose
from federation.storage.training_store import TrainingStore
from models.base import FitReport, Progress
from models.classify.registry import CLASSIFIERS
from models.storage.model_cards import AnyCard
from models.storage.store import ModelStore, Stored
from models.text.embeddings import embedding_cache
from models.train_classifier import ClassifierTrainSettings, LabelledLines, train_classifier
from models.train_detector import TrainSettings, train
from models.training.metrics import evaluate
from models.training.scoring import WindowScorer

JOB = "job"
"""Entry of `data` on the card of a version: the job that made it."""

STORE_SOURCE = "training store"

LOCK = "lock"
"""File of a job's folder that its process holds a lock on as long as it lives."""


class TrainingJob(BaseModel):
    """What is trained, from what, and where the version goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(description="Of the job.")
    kind: Literal["train", "recalibrate"] = Field(
        description="train: a new model; recalibrate: the current version with a new threshold."
    )
    model: str = Field(description="Name in the model store.")
    detector: str = Field("", description="Window detector or line classifier; unused by recalibrate.")
    models: str = Field(description="Folder or URL of the model store.")
    region: Path | None = Field(None, description="Region's TOML file, whose parse and window settings are used.")
    data: Path | None = Field(None, description="Log or labelled lines; None: the region's training store.")
    labels: Path | None = Field(None, description="File of labels of a log.")
    settings: dict[str, Any] = Field(default_factory=dict, description="The model's own settings.")
    threshold: str = Field("", description="Threshold rule; auto, or that of the card, if empty.")
    folds: Annotated[int, Field(ge=0)] = Field(0, description="See `TrainSettings`.")
    first: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="Share of the sessions of a log, by time.")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Seed of the split and of the training.")
    unpacked_bytes: Annotated[int | None, Field(ge=1)] = Field(
        None, description="Bytes of `data` and of `labels` once they are decompressed; None: any number."
    )


class TrainingReport(BaseModel):
    """What came of a training.

    Attributes:
        model, version: Where it was published.
        detector: Which kind of model.
        train_s: Wall time of the training, seconds; 0 for a recalibration.
        threshold: A score at or above it is anomalous; None for a line classifier.
        data: Counts and origin of the data.
        metrics: Figures by split.
        before: Figures of the version that was current before, on the same held-out windows of a training store.
        history: Figures by epoch.
        remarks: Sentences for people.
    """

    model: str
    version: int
    detector: str
    train_s: float
    threshold: float | None
    data: dict[str, int | float | str]
    metrics: dict[str, dict[str, float]]
    before: dict[str, float]
    history: list[dict[str, float]]
    remarks: list[str]


def run_training(job: TrainingJob, progress: Progress) -> TrainingReport:
    """Train or recalibrate, and publish the result as the current version.

    Raises:
        DriftlineError: the data, the settings or the model store cannot be used.
    """
    if job.unpacked_bytes is not None:
        for path in (job.data, job.labels):
            if path is not None:
                require_unpacked(path, job.unpacked_bytes)
    store = ModelStore(job.models)
    if job.kind == "recalibrate":
        return _recalibrated(job, store, progress)
    if job.detector in CLASSIFIERS:
        return _classifier(job, store, progress)
    return _from_log(job, store, progress) if job.data is not None else _from_store(job, store, progress)


def published_version(job: TrainingJob) -> int | None:
    """The version that a job has published; None if it published none.

    Raises:
        ModelStoreError: the store cannot be read.
    """
    store = ModelStore(job.models)
    # Others may publish under the same name meanwhile, though not many times.
    for version in store.versions(job.model)[:-20:-1]:
        if store.any_card(job.model, version).data.get(JOB) == job.id:
            return version
    return None


def _classifier(job: TrainingJob, store: ModelStore, progress: Progress) -> TrainingReport:
    if job.data is not None:
        lines, source = read_labelled(job.data, "" if job.labels is None else str(job.labels)), job.data.name
        parse = ParseSettings()
    else:
        region, store_of_lines = _opened(job)
        with store_of_lines as opened:
            own = opened.line_set(Purpose.TRAIN)
        parse = region.parse
        lines, source = LabelledLines(own.lines, own.labels, own.weights), STORE_SOURCE
    made = train_classifier(
        lines, ClassifierTrainSettings(classifier=job.detector, settings=job.settings, seed=job.seed),
        store=store, name=job.model, source=source, facts={JOB: job.id}, preprocessing=described_lines(parse),
        cache=embedding_cache(), progress=progress,
    )  # fmt: skip
    return _report(store.any_card(job.model, made.version), made.report)


def _from_log(job: TrainingJob, store: ModelStore, progress: Progress) -> TrainingReport:
    spec, (preprocessing, device) = LogSpec(str(job.data), job.labels), _preprocessing(job)
    preprocessing, pauses = derive_gap(spec, preprocessing, fixed=job.region is not None)
    trained, _ = train_on_log(
        spec, preprocessing, _settings(job), store, job.model, first=job.first, device=device, progress=progress,
        facts={JOB: job.id},
    )  # fmt: skip
    return _report(store.any_card(job.model, trained.version), trained.report, remarks=[pauses, trained.warning])


def _from_store(job: TrainingJob, store: ModelStore, progress: Progress) -> TrainingReport:
    region, opened = _opened(job)
    with opened:
        own, held = opened.learning_set(Purpose.TRAIN), opened.learning_set(Purpose.HOLDOUT)
    if not len(own):
        raise DataError("the training store has no windows to learn from yet")
    before = _figures(store, job.model, store.current(job.model), held)
    trained = train(
        own.windows, own.labels if own.known.any() else None, own.templates, _settings(job), store=store,
        name=job.model, source=STORE_SOURCE, facts=gap_facts(region.window) | {JOB: job.id}, known=_known(own),
        preprocessing=described(region.parse, region.window), device=region.scoring.device, cache=embedding_cache(),
        progress=progress,
    )  # fmt: skip
    report = _report(store.any_card(job.model, trained.version), trained.report, remarks=[trained.warning])
    held_out = _figures(store, job.model, trained.version, held)
    metrics = report.metrics | ({"held out in the store": held_out} if held_out else {})
    return report.model_copy(update={"metrics": metrics, "before": before})


def _recalibrated(job: TrainingJob, store: ModelStore, progress: Progress) -> TrainingReport:
    rule = job.threshold or None
    if job.data is not None:
        preprocessing, device = _preprocessing(job)
        preprocessing = as_trained(preprocessing, store.card(job.model))
        card: AnyCard = recalibrate(
            LogSpec(str(job.data), job.labels), preprocessing, store, job.model, rule=rule, device=device,
            progress=lambda done, total: progress("scoring", done, total, {}), facts={JOB: job.id},
        )  # fmt: skip
    else:
        region, opened = _opened(job)
        with opened:
            own = opened.learning_set(Purpose.CALIBRATE)
        if not len(own):
            raise DataError("the training store has no windows to calibrate on yet")
        stored = store.load(job.model, device=region.scoring.device, cache=embedding_cache())
        labels = own.labels if own.labels.any() else None
        card = refit(
            store, stored, _scores(stored, own), labels, STORE_SOURCE, known=_known(own), rule=rule, facts={JOB: job.id}
        )
    return _report(card, None)


def _settings(job: TrainingJob) -> TrainSettings:
    return TrainSettings(
        detector=job.detector, settings=job.settings, threshold=job.threshold or "auto", folds=job.folds, seed=job.seed
    )


def _preprocessing(job: TrainingJob) -> tuple[Preprocessing, str]:
    """How lines become windows, and the device."""
    if job.region is None:
        return default_preprocessing("auto", "session", {}), "auto"
    preprocessing, _, _, device = region_preprocessing(job.region)
    return preprocessing, device


def _opened(job: TrainingJob) -> tuple[RegionSettings, TrainingStore]:
    region = None if job.region is None else load(job.region)
    if region is None or region.training is None:
        raise DataError("there is no training store: the service needs a region with [training] in its TOML file")
    return region, TrainingStore(region.training.path, region.training, now_ns=time.time_ns)


def _known(own: LearningSet) -> dict[str, int]:
    counts = count_labels([origin for origin, bad in zip(own.provenance, own.labels.tolist(), strict=True) if bad])
    known = {"feedback": counts.feedback, "labels": counts.labels, "rules": counts.rules}
    return {origin: count for origin, count in known.items() if count}


def _figures(store: ModelStore, name: str, version: int | None, held: LearningSet) -> dict[str, float]:
    """Figures of a version on the labelled held-out windows; {} without a version or labels of both classes."""
    labelled = held.subset(held.known)
    if version is None or not labelled.labels.any() or labelled.labels.all():
        return {}
    stored = store.load(name, version, cache=embedding_cache())
    return evaluate(_scores(stored, labelled), labelled.labels, stored.card.threshold.value)


def _scores(stored: Stored, own: LearningSet) -> NDArray[np.float32]:
    scorer = WindowScorer(stored.detector, stored.card.version, stored.card.threshold.value)
    scorer.learn_templates(own.templates)
    return scorer.score(own.windows)


def _report(card: AnyCard, fit: FitReport | None, remarks: list[str] | None = None) -> TrainingReport:
    threshold = getattr(card, "threshold", None)
    return TrainingReport(
        model=card.name, version=card.version, detector=card.detector, train_s=0.0 if fit is None else fit.train_s,
        threshold=None if threshold is None else threshold.value, data=card.data, metrics=card.metrics, before={},
        history=[] if fit is None else [dict(epoch) for epoch in fit.history],
        remarks=[remark for remark in remarks or () if remark],
    )  # fmt: skip
