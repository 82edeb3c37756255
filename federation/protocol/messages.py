"""Questions of the coordinator and replies of the regions, as Flower records.

There are five questions, each a Flower message type: `query.hello` (report your name), `query.templates`,
`train`, `query.calibrate` and `evaluate`. A question carries the round's task as JSON and, except for the
first two, weights. A reply carries the region's name and either the answer or the reason for a missing one.
Nothing here imports torch, so a ClientApp that only passes records on starts quickly.

A region's reply is never trusted: one that cannot be read raises `MalformedError`.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Protocol

import numpy as np
from flwr.app import ConfigRecord, MetricRecord, RecordDict
from numpy.typing import NDArray
from pydantic import ValidationError

from federation.errors import FederationError, MalformedError, RegionFailedError
from federation.protocol.arrays import from_record, to_record
from federation.protocol.output_templates import MAX_TEMPLATES
from federation.protocol.records import (
    HoldoutFigures,
    LabelledAnomalies,
    Pairs,
    ScoreSketch,
    TrainTask,
    Update,
    Weights,
)
from federation.protocol.region_name import REGION_NAME
from models.base import ModelError
from models.classify.base import CLASSES

HELLO, TEMPLATES, TRAIN, CALIBRATE, EVALUATE = (
    "query.hello", "query.templates", "train", "query.calibrate", "evaluate"
)  # fmt: skip
"""Message types, `category.action` as a ClientApp registers them."""
KINDS = (HELLO, TEMPLATES, TRAIN, CALIBRATE, EVALUATE)

_WEIGHTS, _CURRENT, _CONFIG, _METRICS, _SCORES, _FIGURES, _TEMPLATES = (
    "weights", "current", "config", "metrics", "scores", "figures", "templates"
)  # fmt: skip
_CELLS = (4, len(CLASSES) ** 2)

MAX_METRICS = 32
"""Metrics next to an update."""

MAX_ERROR_CHARACTERS = 500


class RegionClient(Protocol):
    """Answers for one region; `federation.region.trainer.Trainer` is one."""

    @property
    def region(self) -> str:
        """Name of the region."""
        ...

    def templates(self, task: TrainTask) -> NDArray[np.int64]:
        """Ids, ascending, of the templates that the model needs an output for; none for models without outputs."""
        ...

    def train(self, weights: Weights, task: TrainTask) -> Update:
        """Train from `weights` on the region's own windows."""
        ...

    def calibrate(self, weights: Weights, task: TrainTask) -> ScoreSketch:
        """Score the region's calibration windows."""
        ...

    def evaluate(
        self, candidate: Weights, current: Weights, task: TrainTask, thresholds: tuple[float, float]
    ) -> HoldoutFigures:
        """Score the region's holdout with both models; `thresholds` are (candidate's, current's)."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """A question that every region gets alike.

    Attributes:
        kind: Message type.
        content: Records of the question.
    """

    kind: str
    content: RecordDict


def hello(task: TrainTask) -> Question:
    """Ask for the region's name."""
    return Question(HELLO, RecordDict({_CONFIG: _task_record(task)}))


def templates(task: TrainTask) -> Question:
    """Ask for the hashes of the templates in the region's windows."""
    return Question(TEMPLATES, RecordDict({_CONFIG: _task_record(task)}))


def train(weights: Weights, task: TrainTask) -> Question:
    """Ask for an update."""
    return Question(TRAIN, RecordDict({_WEIGHTS: to_record(weights), _CONFIG: _task_record(task)}))


def calibrate(weights: Weights, task: TrainTask) -> Question:
    """Ask for the scores of the calibration windows."""
    return Question(CALIBRATE, RecordDict({_WEIGHTS: to_record(weights), _CONFIG: _task_record(task)}))


def evaluate(candidate: Weights, current: Weights, task: TrainTask, thresholds: tuple[float, float]) -> Question:
    """Ask for the holdout figures of both models; `thresholds` are (candidate's, current's)."""
    config = _task_record(task)
    config["thresholds"] = list(thresholds)
    return Question(
        EVALUATE, RecordDict({_WEIGHTS: to_record(candidate), _CURRENT: to_record(current), _CONFIG: config})
    )


def task_of(content: RecordDict) -> TrainTask:
    """The task that a question carries.

    Raises:
        MalformedError: the task is missing or invalid.
    """
    try:
        return TrainTask.model_validate_json(str(_config(content)["task"]))
    except (KeyError, ValidationError) as error:
        raise MalformedError(f"the question carries no valid task: {error}") from error


def answer(client: RegionClient, kind: str, content: RecordDict) -> RecordDict:
    """The reply of a region to a question; an error raised on purpose becomes the reason in the reply.

    Args:
        client: Answers for the region.
        kind: Message type of the question.
        content: Records of the question.
    """
    try:
        return _answer(client, kind, content)
    except (FederationError, ModelError) as error:
        return failure(client.region, str(error))


def failure(region: str, reason: str) -> RecordDict:
    """The reply of a region that does not fulfil a request."""
    return RecordDict({_CONFIG: ConfigRecord({"region": region, "error": reason})})


def _answer(client: RegionClient, kind: str, content: RecordDict) -> RecordDict:
    task = task_of(content)
    name = ConfigRecord({"region": client.region})
    if kind == HELLO:
        return RecordDict({_CONFIG: name})
    if kind == TEMPLATES:
        return RecordDict({_CONFIG: name, _TEMPLATES: to_record({"ids": client.templates(task)})})
    weights = from_record(content, _WEIGHTS)
    if kind == TRAIN:
        update = client.train(weights, task)
        metrics = MetricRecord({**{k: float(v) for k, v in update.metrics.items()}, "examples": update.examples})
        return RecordDict({_CONFIG: name, _WEIGHTS: to_record(update.weights), _METRICS: metrics})
    if kind == CALIBRATE:
        sketch = client.calibrate(weights, task)
        counts = MetricRecord(
            {"normal": sketch.normal_count, "anomalous": sketch.anomalous_count, "labelled": int(sketch.labelled)}
        )
        scores = to_record({"normal": sketch.normal, "anomalous": sketch.anomalous})
        return RecordDict({_CONFIG: name, _SCORES: scores, _METRICS: counts})
    if kind == EVALUATE:
        found = client.evaluate(weights, from_record(content, _CURRENT), task, _thresholds(content))
        cells = MetricRecord(
            {
                "current": list(found.current), "candidate": list(found.candidate), "answered": _listed(found.answered),
                "ruled": _listed(found.ruled), "unlabelled": list(found.unlabelled),
                "made_up": _listed(found.made_up), "strange": list(found.strange), "known": list(astuple(found.known)),
                "anchors": _listed(found.anchors),
            }
        )  # fmt: skip
        return RecordDict({_CONFIG: name, _FIGURES: cells})
    raise MalformedError(f"unknown question '{kind}'; known are {', '.join(KINDS)}")


def region_of(content: RecordDict) -> str:
    """The region's name in a reply.

    Raises:
        MalformedError: the reply has no valid name.
    """
    name = _config(content).get("region")
    if not isinstance(name, str) or not REGION_NAME.fullmatch(name):
        raise MalformedError("the reply names no region")
    return name


def raise_failure(content: RecordDict) -> None:
    """Raise `RegionFailedError` with the region's own reason if the reply is a failure."""
    reason = _config(content).get("error")
    if reason is not None:
        raise RegionFailedError(str(reason)[:MAX_ERROR_CHARACTERS])


def read_templates(region: str, content: RecordDict) -> NDArray[np.int64]:
    """Read the reply to `templates`.

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
    """Read the reply to `train`.

    Raises:
        MalformedError: it cannot be read.
    """
    metrics = {name: value for name, value in _metrics(content, _METRICS).items() if name != "examples"}
    numbers = {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
    if len(metrics) > MAX_METRICS:
        raise MalformedError(f"it has {len(metrics)} metrics, more than {MAX_METRICS}")
    if others := sorted(metrics.keys() - numbers.keys()):
        raise MalformedError(f"the metric '{others[0]}' is not a number")
    return Update(region, from_record(content, _WEIGHTS), _count(content, "examples"), numbers)


def read_sketch(region: str, content: RecordDict) -> ScoreSketch:
    """Read the reply to `calibrate`.

    Raises:
        MalformedError: it cannot be read.
    """
    scores = from_record(content, _SCORES)
    if missing := [name for name in ("normal", "anomalous") if name not in scores]:
        raise MalformedError(f"the scores of the {missing[0]} windows are missing")
    counts = _count(content, "normal"), _count(content, "anomalous")
    labelled = _count(content, "labelled") > 0
    return ScoreSketch(region, scores["normal"], scores["anomalous"], *counts, labelled)


def read_figures(region: str, content: RecordDict) -> HoldoutFigures:
    """Read the reply to `evaluate`.

    Raises:
        MalformedError: it cannot be read, or a count is negative.
    """
    record = _metrics(content, _FIGURES)
    return HoldoutFigures(
        region,
        _cells(record.get("current"), _CELLS, "the counts of a confusion matrix"),
        _cells(record.get("candidate"), _CELLS, "the counts of a confusion matrix"),
        Pairs(*_cells(record.get("answered"), (4,), "the sessions in which two models differ")),
        Pairs(*_cells(record.get("ruled"), (4,), "the sessions in which two models differ")),
        _four(_cells(record.get("unlabelled"), (4,), "the alerts of two models on sessions without a label")),
        Pairs(*_cells(record.get("made_up"), (4,), "the made-up incidents that one model finds")),
        _three(_cells(record.get("strange"), (3,), "the windows that two models find strange")),
        LabelledAnomalies(*_cells(record.get("known"), (3,), "the anomalies with a label")),
        Pairs(*_cells(record.get("anchors"), (4,), "the labelled anomalies that one model finds")),
    )


def _cells(value: object, sizes: tuple[int, ...], what: str) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) not in sizes or not all(isinstance(n, int) and n >= 0 for n in value):
        raise MalformedError(f"{str(value)[:200]} are not {what}")
    return tuple(value)


def _four(counts: tuple[int, ...]) -> tuple[int, int, int, int]:
    a, b, c, d = counts
    return a, b, c, d


def _three(counts: tuple[int, ...]) -> tuple[int, int, int]:
    a, b, c = counts
    return a, b, c


def _listed(pairs: Pairs) -> list[int]:
    return [pairs.found, pairs.lost, pairs.cleared, pairs.raised]


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
