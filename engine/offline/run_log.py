"""The log of training runs: one folder a run, with run.json and the curves.

Layout::

    RUNS/20240501T101500Z-bert_cnn-3f2a/run.json
    RUNS/20240501T101500Z-bert_cnn-3f2a/curves.png     if there are epochs to draw
"""

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.offline.evaluation_report import EvaluationError, prepare, write_files
from models.thresholds.base import Threshold

_RUN = "run.json"


class TrainingRun(BaseModel):
    """One training run, as it is logged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(default=1, description="Of this document.")
    id: str = Field(description="Name of its folder.")
    name: str = Field(description="Name in the model store.")
    version: int | None = Field(description="Version that it published.")
    store: str = Field(description="Model store.")
    detector: str = Field(description="Name of the detector.")
    settings: dict[str, Any] = Field(description="Settings of the detector, defaults included.")
    seed: int | None = Field(description="Seed of split and training.")
    started_at: datetime = Field(description="When it began, UTC.")
    train_s: float = Field(description="Time the detector took to learn, in seconds.")
    threshold: Threshold | None = Field(None, description="What was fitted on the held-out windows; None for lines.")
    data: dict[str, int | float | str] = Field(description="What it was trained on.")
    metrics: dict[str, dict[str, float]] = Field(description="Figures by split.")
    history: tuple[dict[str, float], ...] = Field(description="Figures of each epoch.")
    best_epoch: int = Field(description="The epoch whose weights were kept, from 0.")

    def figures(self) -> dict[str, float]:
        """Every figure under one name, such as `validation.f1`."""
        return {f"{split}.{name}": value for split, part in self.metrics.items() for name, value in part.items()}

    def results(self) -> dict[str, float]:
        """Every figure, the threshold if there is one, and the training time."""
        threshold = {} if self.threshold is None else {"threshold": self.threshold.value}
        return {**self.figures(), **threshold, "train_s": self.train_s}

    def parameters(self) -> dict[str, str]:
        """Everything that was chosen, flat, as text."""
        chosen: dict[str, Any] = {"detector": self.detector, "seed": self.seed}
        if self.threshold is not None:
            chosen["threshold"] = self.threshold.rule
            chosen |= {f"threshold.{k}": v for k, v in self.threshold.settings.items()}
        return {name: str(value) for name, value in (chosen | _flat(self.settings)).items()}

    def lineage(self) -> dict[str, str]:
        """What it was trained on and where the result lies, flat, as text."""
        facts: dict[str, Any] = {"name": self.name, "version": self.version, "store": self.store}
        facts |= {f"data.{name}": value for name, value in self.data.items()}
        return {name: str(value) for name, value in facts.items()}


class RunLog(Protocol):
    """Somewhere that runs are logged."""

    def check(self) -> None:
        """Finds out before the training whether logging will work.

        Raises:
            EvaluationError: it would not.
        """
        ...

    def record(self, run: TrainingRun, files: Mapping[str, bytes]) -> str:
        """Log a run with its plots and return its place.

        Raises:
            EvaluationError: it could not.
        """
        ...


def new_id(detector: str, started_at: datetime) -> str:
    """Sorts by time; runs that begin in the same second differ by a random end."""
    return f"{started_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{detector}-{secrets.token_hex(2)}"


class RunFolder:
    """Runs as folders of JSON and plots; a `RunLog`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self) -> None:
        """See `RunLog.check`."""
        prepare(self._folder)

    def record(self, run: TrainingRun, files: Mapping[str, bytes]) -> str:
        """See `RunLog.record`. The folder appears whole, by rename, or not at all."""
        target = self._folder / run.id
        partial = self._folder / f".{run.id}.{os.getpid()}"
        try:
            write_files(partial, {**files, _RUN: run.model_dump_json(indent=1).encode()})
            partial.rename(target)
        except OSError as error:
            raise EvaluationError(f"{target} cannot be written: {error.strerror}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return str(target)

    def all(self) -> list[TrainingRun]:
        """Every run, the oldest first.

        Raises:
            EvaluationError: the folder is missing, or a run in it cannot be read.
        """
        try:
            names = sorted(path.parent.name for path in self._folder.glob(f"[!.]*/{_RUN}"))
            if not names and not self._folder.is_dir():
                raise EvaluationError(f"{self._folder} is not a folder of runs; `driftline train --runs` creates one")
        except OSError as error:
            raise EvaluationError(f"{self._folder} cannot be read: {error.strerror}") from error
        return [self._read(name) for name in names]

    def get(self, part: str) -> TrainingRun:
        """The run with this id, or the only one with `part` in its id.

        Raises:
            EvaluationError: no run matches, or more than one.
        """
        runs = self.all()
        found = [r for r in runs if r.id == part] or [r for r in runs if part in r.id]
        if len(found) != 1:
            known = ", ".join(r.id for r in (found or runs)) or "none"
            said = "more than one run" if found else "no run"
            raise EvaluationError(f"{said} in {self._folder} is called '{part}'; there are {known}")
        return found[0]

    def prune(self, keep: int) -> list[str]:
        """Delete all but the newest runs, and return the ids of those deleted.

        Raises:
            EvaluationError: see `all`, or a folder cannot be deleted.
        """
        old = [run.id for run in self.all()][:-keep]
        for each in old:
            try:
                shutil.rmtree(self._folder / each)
            except OSError as error:
                raise EvaluationError(f"{self._folder / each} cannot be deleted: {error.strerror}") from error
        return old

    def _read(self, name: str) -> TrainingRun:
        path = self._folder / name / _RUN
        try:
            return TrainingRun.model_validate_json(path.read_bytes())
        except OSError as error:
            raise EvaluationError(f"{path} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise EvaluationError(
                f"{path} is not the log of a run: {where + ': ' if where else ''}{first['msg']}"
            ) from error


def compare(runs: Sequence[TrainingRun]) -> dict[str, dict[str, list[Any]]]:
    """Runs side by side: one list a name, with one entry a run; None where a run lacks it.

    Returns:
        `settings`: chosen settings that differ between runs; `figures`: every figure, and the
        training time.
    """
    chosen = [run.parameters() | run.lineage() for run in runs]
    figures = [run.results() for run in runs]
    settings = {name: row for name, row in _side_by_side(chosen).items() if len(set(row)) > 1}
    return {"settings": settings, "figures": _side_by_side(figures)}


def _side_by_side(columns: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for column in columns for name in column)
    return {name: [column.get(name) for column in columns] for name in names}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found
