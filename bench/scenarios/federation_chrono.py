"""Scenario federate-hdfs-chrono: a real stream that changes, and five ways of living with it."""

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from bench.data.detection_data import hdfs_sessions
from bench.data.partition import by_key
from bench.data.region_stream import MODEL, Course, FleetStream, Policy, StartingModel, Stream, joined
from bench.harness import Outcome, Run, Scenario, SettingError, Target
from engine.drift.settings import DriftSettings
from federation.coordinator.round_records import made_with
from federation.coordinator.schedule import ScheduleSettings
from federation.protocol.records import ModelSpec
from federation.round.settings import RoundSettings
from models.train_detector import TrainSettings, train
from models.training.metrics import confusion

WAYS = ("static", "local", "federated", "central", "periodic")
REGIONS = ("ap", "eu", "us")
DRIFT = ("block_windows", "first_blocks", "warmup_blocks", "current_blocks", "confirm_blocks", "cooldown_windows")
ROUNDS = ("strategy", "passes", "local_epochs", "margin_region")
SCHEDULE = ("debounce_s", "cool_down_s")


def federate_hdfs_chrono(run: Run) -> Outcome:
    """HDFS blocks in time order over three regions; F1 over the last half of the stream, and rounds spent.

    Every figure is the mean over `seeds`, of the initial model and of the rounds.

    The initial model knows the first `train_share` of the blocks. Hyperparameters were chosen by F1 over the
    first half of the stream, which is reported as well.
    """
    ways, seeds = run.setting("ways", ",".join(WAYS)).split(","), run.setting("seeds", 3)
    if unknown := sorted(set(ways) - set(WAYS)):
        raise SettingError(f"--set ways: {', '.join(unknown)} is not among {', '.join(WAYS)}")
    policy, every_s = _policy(run), run.setting("every_s", 3600.0)
    stream = hdfs_stream(run.setting("train_share", 0.2), policy.label_delay_s)
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (seed, way) in enumerate(itertools.product(range(seeds), ways)):
            if way == ways[0]:
                model = first_model(stream, _detector(run), folder / "embeddings", seed)
            course = _live(way, stream, model, _seeded(policy, seed), every_s, folder / f"{seed}-{way}")
            for figure, value in _figures(course, stream).items():
                found.setdefault(f"{way}.{figure}", []).append(value)
            run.progress("ways", number + 1, seeds * len(ways))
    figures = {figure: float(np.mean(values)) for figure, values in found.items()}
    figures |= {f"{way}.f1_sd": float(np.std(found[f"{way}.f1"])) for way in ways}
    if "federated" in ways:
        figures["rounds"] = figures["federated.rounds"]
    if {"federated", "central"} <= set(ways):
        figures["federated.of_central"] = figures["federated.f1"] / figures["central.f1"]
    return Outcome(figures)


def _detector(run: Run) -> dict[str, Any]:
    """Small steps: a region has some hundred distinct windows, and few epochs to learn them in."""
    return {"encoder": run.setting("encoder", "minilm"), "training": {"batch_size": run.setting("batch_size", 32)}}


def _policy(run: Run) -> Policy:
    """Drift, schedule and rounds at the product's defaults, but for what `--set` changes."""
    drift = DriftSettings.model_validate(_chosen(run, DriftSettings(), DRIFT))
    rounds = RoundSettings.model_validate(_chosen(run, RoundSettings.model_validate({}), ROUNDS))
    schedule = ScheduleSettings.model_validate(_chosen(run, ScheduleSettings.model_validate({}), SCHEDULE))
    return Policy(drift, schedule, rounds, run.setting("label_delay_s", 600.0))


def _chosen(run: Run, defaults: BaseModel, names: Sequence[str]) -> dict[str, Any]:
    return {name: run.setting(name, getattr(defaults, name)) for name in names}


def hdfs_stream(train_share: float, label_delay_s: float) -> Stream:
    """The HDFS sample's blocks in the order of their last lines.

    The stream begins when the first block ends that is not among the first `train_share` to begin. The first
    model is trained on what has ended by then and has its label.
    """
    data = hdfs_sessions()
    data = data.take(np.argsort(data.last_ns, kind="stable"))
    later = data.first_ns >= np.sort(data.first_ns)[round(train_share * len(data))]
    begin_ns = int(data.last_ns[later].min())
    begin = int(np.searchsorted(data.last_ns, begin_ns - int(label_delay_s * 1e9)))
    return Stream(data.windows, data.labels, data.templates, data.keys, data.last_ns, begin)


def _seeded(policy: Policy, seed: int) -> Policy:
    """The policy with rounds of their own seeds; there are never a thousand rounds."""
    return replace(policy, rounds=policy.rounds.model_copy(update={"seed": 1_000 * seed}))


def first_model(stream: Stream, detector_settings: Mapping[str, Any], cache: Path, seed: int = 0) -> StartingModel:
    """A BERT-CNN trained on what lies before the stream."""
    index = np.arange(stream.begin)
    settings = TrainSettings(settings=dict(detector_settings), threshold="best_f1", seed=seed)
    trained = train(
        stream.windows.take(index), stream.labels[index], stream.templates, settings, device="cpu", cache=cache
    )
    detector = trained.detector
    spec = ModelSpec(
        name=MODEL, version=1, kind="detector", detector=detector.name, settings=detector.settings(),
        extra=detector.extra(),
    )  # fmt: skip
    return StartingModel(spec, detector.weights(), trained.threshold, trained.notes.f1, made_with(trained.notes))


def _live(way: str, stream: Stream, model: StartingModel, policy: Policy, every_s: float, folder: Path) -> Course:
    parts = dict(zip(REGIONS, by_key(stream.keys, len(REGIONS)), strict=True))
    alone = {"rounds": policy.rounds.model_copy(update={"min_regions": 1})}
    if way == "static":
        return _fleet(parts, stream, model, policy, folder, drift=None, schedule=None)
    if way == "local":
        return joined([_fleet({n: p}, stream, model, policy, folder / n, **alone) for n, p in parts.items()])
    if way == "central":
        return _fleet({"all": np.arange(len(stream.labels))}, stream, model, policy, folder, **alone)
    if way == "periodic":
        schedule = ScheduleSettings(every_s=every_s)
        return _fleet(parts, stream, model, policy, folder, drift=None, schedule=schedule)
    return _fleet(parts, stream, model, policy, folder)


def _fleet(
    parts: Mapping[str, NDArray[np.int64]],
    stream: Stream,
    model: StartingModel,
    policy: Policy,
    folder: Path,
    **changes: Any,
) -> Course:
    return FleetStream(parts, stream, model, replace(policy, **changes), folder).run()


def _figures(course: Course, stream: Stream) -> dict[str, float]:
    """F1 over both halves of the stream, what was wrong in the second, and the rounds."""
    middle = (stream.begin + len(stream.labels)) // 2
    called = course.called.astype(np.float32)
    first, last = slice(stream.begin, middle), slice(middle, len(stream.labels))
    found = confusion(called[last], stream.labels[last], 0.5)
    return {
        "f1": found.f1, "f1_first_half": confusion(called[first], stream.labels[first], 0.5).f1,
        "precision": found.precision, "recall": found.recall,
        "rounds": float(len(course.rounds)), "published": float(course.published),
    }  # fmt: skip


FEDERATE_HDFS_CHRONO = Scenario(
    "federate-hdfs-chrono",
    "The HDFS sample as it happened, in three regions: untouched, each region alone, federated, central, periodic",
    federate_hdfs_chrono,
    {
        "federated.f1": Target(goal=0.97, tolerance=0.01),
        "federated.of_central": Target(goal=0.99, tolerance=0.01),
        "central.f1": Target(tolerance=0.01),
        **{f"{way}.f1": Target(tolerance=0.02) for way in ("local", "periodic")},
        "static.f1": Target(tolerance=0.05),
        "rounds": Target(better="lower", tolerance=0.5),
    },
    detectors=("bert_cnn",),
)
