"""What coordinator and regions say to each other, as Flower records.

Five questions are asked, each a Flower message type: `query.hello` (who are you), `query.templates`,
`train`, `query.calibrate` and `evaluate`. A question carries the round's task as JSON and, but for the first
two, weights; a reply carries the region's name and either what was asked for or one sentence that says
why not. Nothing here imports torch, so a ClientApp that only passes records on starts quickly.

What comes from a region is never trusted: whatever cannot be read raises `MalformedError`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from federation.errors import FederationError, MalformedError, RegionFailedError
from federation.protocol.output_templates import MAX_TEMPLATES
from federation.protocol.records import HoldoutFigures, ModelSpec, ScoreSketch, TrainTask, Update, Weights
from federation.protocol.region_name import REGION_NAME
from models.base import ModelError
from models.classify.base import CLASSES

HELLO, TEMPLATES, TRAIN, CALIBRATE, EVALUATE = (
    "query.hello", "query.templates", "train", "query.calibrate", "evaluate"
)  # fmt: skip
"""Message types, `category.action` as a ClientApp registers them."""
_WEIGHTS, _CURRENT, _CONFIG, _METRICS, _SCORES, _FIGURES, _TEMPLATES = (
    "weights", "current", "config", "metrics", "scores", "figures", "templates"
)  # fmt: skip
_PACKED = "safetensors"
_DIMENSIONS = 16
_CELLS = (4, len(CLASSES) ** 2)
_FIGURES_MOST = 32
"""Beside an update."""


class Region(Protocol):
    """A region's answers; the trainer in process, or what stands for it over a socket."""

    @property
    def region(self) -> str:
        """Its name."""
        ...

    def templates(self, task: TrainTask) -> NDArray[np.int64]:
        """Ids, ascending, of the templates that the model should have an output for; none where it has no such."""
        ...

    def train(self, weights: Weights, task: TrainTask) -> Update:
        """Trains from `weights` on the region's own windows."""
        ...

    def calibrate(self, weights: Weights, spec: ModelSpec) -> ScoreSketch:
        """Scores the region's calibration windows."""
        ...

    def evaluate(
        self, candidate: Weights, current: Weights, spec: ModelSpec, thresholds: tuple[float, float]
    ) -> HoldoutFigures:
        """Scores the region's holdout with both; `thresholds` are (candidate's, current's)."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """What the coordinator asks, to be sent to every region alike.

    Attributes:
        kind: Message type.
        content: Its records.
    """

    kind: str
    content: RecordDict


def hello(task: TrainTask) -> Question:
    """Asks who is there."""
    return Question(HELLO, RecordDict({_CONFIG: _task_record(task)}))


def templates(task: TrainTask) -> Question:
    """Asks which templates the region's windows hold, by hash."""
    return Question(TEMPLATES, RecordDict({_CONFIG: _task_record(task)}))


def train(weights: Weights, task: TrainTask) -> Question:
    """Asks for an update."""
    return Question(TRAIN, RecordDict({_WEIGHTS: to_record(weights), _CONFIG: _task_record(task)}))


def calibrate(weights: Weights, task: TrainTask) -> Question:
    """Asks for the scores of the calibration windows."""
    return Question(CALIBRATE, RecordDict({_WEIGHTS: to_record(weights), _CONFIG: _task_record(task)}))


def evaluate(candidate: Weights, current: Weights, task: TrainTask, thresholds: tuple[float, float]) -> Question:
    """Asks what both models do on the holdout; `thresholds` are (candidate's, current's)."""
    config = _task_record(task)
    config["thresholds"] = list(thresholds)
    return Question(
        EVALUATE, RecordDict({_WEIGHTS: to_record(candidate), _CURRENT: to_record(current), _CONFIG: config})
    )


def task_of(content: RecordDict) -> TrainTask:
    """The task that a question carries.

    Raises:
        MalformedError: there is none, or it does not fit its model.
    """
    try:
        return TrainTask.model_validate_json(str(_config(content)["task"]))
    except (KeyError, ValidationError) as error:
        raise MalformedError(f"the question carries no task that can be read: {error}") from error


def answer(region: Region, kind: str, content: RecordDict) -> RecordDict:
    """The region's reply to a question; an error that it raises on purpose becomes a sentence in the reply.

    Args:
        region: Answers.
        kind: Message type of the question.
        content: Its records.
    """
    try:
        return _answer(region, kind, content)
    except (FederationError, ModelError) as error:
        return failure(region.region, str(error))


def failure(region: str, sentence: str) -> RecordDict:
    """The reply of a region that does not do what was asked."""
    return RecordDict({_CONFIG: ConfigRecord({"region": region, "error": sentence})})


def _answer(region: Region, kind: str, content: RecordDict) -> RecordDict:
    task = task_of(content)
    name = ConfigRecord({"region": region.region})
    if kind == HELLO:
        return RecordDict({_CONFIG: name})
    if kind == TEMPLATES:
        return RecordDict({_CONFIG: name, _TEMPLATES: to_record({"ids": region.templates(task)})})
    weights = from_record(content, _WEIGHTS)
    if kind == TRAIN:
        update = region.train(weights, task)
        figures = MetricRecord({**{k: float(v) for k, v in update.metrics.items()}, "examples": update.examples})
        return RecordDict({_CONFIG: name, _WEIGHTS: to_record(update.weights), _METRICS: figures})
    if kind == CALIBRATE:
        sketch = region.calibrate(weights, task.spec)
        counts = MetricRecord({"normal": sketch.normal_count, "anomalous": sketch.anomalous_count})
        scores = to_record({"normal": sketch.normal, "anomalous": sketch.anomalous})
        return RecordDict({_CONFIG: name, _SCORES: scores, _METRICS: counts})
    if kind == EVALUATE:
        found = region.evaluate(weights, from_record(content, _CURRENT), task.spec, _thresholds(content))
        cells = MetricRecord({"current": list(found.current), "candidate": list(found.candidate)})
        return RecordDict({_CONFIG: name, _FIGURES: cells})
    raise MalformedError(
        f"there is no question '{kind}'; known are {HELLO}, {TEMPLATES}, {TRAIN}, {CALIBRATE}, {EVALUATE}"
    )


def region_of(content: RecordDict) -> str:
    """The name that a reply gives.

    Raises:
        MalformedError: it gives none, or what cannot be one.
    """
    name = _config(content).get("region")
    if not isinstance(name, str) or not REGION_NAME.fullmatch(name):
        raise MalformedError("the reply names no region")
    return name


def array_bytes(content: RecordDict) -> int:
    """What the arrays of a message take, in bytes."""
    return sum(len(array.data) for record in content.array_records.values() for array in record.values())


def raise_failure(content: RecordDict) -> None:
    """Raises `RegionFailedError` with the region's own sentence if the reply is one of failure."""
    sentence = _config(content).get("error")
    if sentence is not None:
        raise RegionFailedError(str(sentence)[:500])


def read_templates(region: str, content: RecordDict) -> NDArray[np.int64]:
    """The reply to `templates`.

    Raises:
        MalformedError: it cannot be read, or names more templates than a region may.
    """
    ids = from_record(content, _TEMPLATES).get("ids", np.zeros(0))
    if ids.dtype != np.int64 or ids.ndim != 1 or len(ids) > MAX_TEMPLATES or (ids[1:] <= ids[:-1]).any():
        raise MalformedError(
            f"its template ids are {ids.dtype}{list(ids.shape)}, not at most {MAX_TEMPLATES} int64 in ascending order"
        )
    return ids


def read_update(region: str, content: RecordDict) -> Update:
    """The reply to `train`.

    Raises:
        MalformedError: it cannot be read.
    """
    figures = {name: value for name, value in _metrics(content, _METRICS).items() if name != "examples"}
    numbers = {name: float(value) for name, value in figures.items() if isinstance(value, int | float)}
    if len(figures) > _FIGURES_MOST:
        raise MalformedError(f"it gives {len(figures)} figures, more than {_FIGURES_MOST}")
    if listed := sorted(figures.keys() - numbers.keys()):
        raise MalformedError(f"the figure '{listed[0]}' is not a number")
    return Update(region, from_record(content, _WEIGHTS), _count(content, "examples"), numbers)


def read_sketch(region: str, content: RecordDict) -> ScoreSketch:
    """The reply to `calibrate`.

    Raises:
        MalformedError: it cannot be read.
    """
    scores = from_record(content, _SCORES)
    if missing := [name for name in ("normal", "anomalous") if name not in scores]:
        raise MalformedError(f"the scores of the {missing[0]} windows are missing")
    counts = _count(content, "normal"), _count(content, "anomalous")
    return ScoreSketch(region, scores["normal"], scores["anomalous"], *counts)


def read_figures(region: str, content: RecordDict) -> HoldoutFigures:
    """The reply to `evaluate`.

    Raises:
        MalformedError: it cannot be read, or a count is negative.
    """
    record = _metrics(content, _FIGURES)
    return HoldoutFigures(region, _cells(record.get("current")), _cells(record.get("candidate")))


def _cells(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) not in _CELLS or not all(isinstance(n, int) and n >= 0 for n in value):
        raise MalformedError(f"{str(value)[:200]} are not the counts of a confusion matrix")
    return tuple(value)


def packed(weights: Weights) -> bytes:
    """Arrays by name in the format of safetensors."""
    return bytes(safetensors.save({name: np.asarray(array, order="C") for name, array in weights.items()}))


def unpacked(data: bytes, name: str) -> dict[str, NDArray[Any]]:
    """What `packed` was given; `name` is for the message of an error.

    Raises:
        MalformedError: it is damaged.
    """
    try:
        found = safetensors.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:  # of dtypes and shapes that numpy has not
        raise MalformedError(f"the arrays under '{name}' are damaged: {error}") from error
    if deep := sorted(key for key, array in found.items() if array.ndim > _DIMENSIONS):
        raise MalformedError(f"the array '{deep[0]}' has {found[deep[0]].ndim} dimensions, more than {_DIMENSIONS}")
    return {key: found[key].copy() for key in sorted(found)}  # safetensors gives them in another order every time


def to_record(weights: Weights) -> ArrayRecord:
    """Arrays by name as a record with a single array, which holds them all.

    Flower moves every array of a message as an object of its own, with some requests for each between
    coordinator, node and ClientApp; for networks of a dozen small arrays that took longer than training.
    """
    data = packed(weights)
    return ArrayRecord({_PACKED: Array(dtype="uint8", shape=(len(data),), stype=_PACKED, data=data)})


def from_record(content: RecordDict, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of a record.

    Raises:
        MalformedError: there is no such record, or what is in it is damaged.
    """
    record = content.get(name)
    found = record.get(_PACKED) if isinstance(record, ArrayRecord) else None
    if found is None:
        raise MalformedError(f"there are no arrays under '{name}'")
    return unpacked(found.data, name)


def _task_record(task: TrainTask) -> ConfigRecord:
    return ConfigRecord({"task": task.model_dump_json()})


def _config(content: RecordDict) -> ConfigRecord:
    record = content.get(_CONFIG)
    return record if isinstance(record, ConfigRecord) else ConfigRecord()


def _metrics(content: RecordDict, name: str) -> Mapping[str, object]:
    record = content.get(name)
    if not isinstance(record, MetricRecord):
        raise MalformedError(f"there are no figures under '{name}'")
    return record


def _count(content: RecordDict, name: str) -> int:
    value = _metrics(content, _METRICS).get(name)
    if not isinstance(value, int):
        raise MalformedError(f"the count '{name}' is {value!r}, not a whole number")
    return value


def _thresholds(content: RecordDict) -> tuple[float, float]:
    match _config(content).get("thresholds"):
        case [float(candidate), float(current)]:
            return candidate, current
        case other:
            raise MalformedError(f"{other!r} are not the thresholds of candidate and current model")
