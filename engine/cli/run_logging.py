"""Logging a training run from the command line."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from engine.offline.run_log import RunLog, TrainingRun
    from models.base import FitReport, Model
    from models.storage.model_cards import ModelNotes


def run_of(
    model: "Model", notes: "ModelNotes", report: "FitReport", version: int | None, name: str, store: str,
    started_at: datetime,
) -> "TrainingRun":  # fmt: skip
    """What is logged of a training that published `version` of `name`."""
    from engine.offline.run_log import TrainingRun, new_id
    from models.storage.model_cards import Notes

    return TrainingRun(
        id=new_id(model.name, started_at), name=name, version=version, store=store, detector=model.name,
        settings=model.settings(), seed=notes.seed, started_at=started_at, train_s=report.train_s,
        threshold=notes.threshold if isinstance(notes, Notes) else None, data=notes.data, metrics=notes.metrics,
        history=tuple(dict(epoch) for epoch in report.history), best_epoch=report.best_epoch,
    )  # fmt: skip


def record(log: "RunLog", runs: Path, run: "TrainingRun") -> str:
    """Logs the run; in the folder where the server that answered before the training no longer does."""
    from engine.offline.evaluation_report import EvaluationError
    from engine.offline.plots import curves
    from engine.offline.run_log import RunFolder

    drawn = curves(run.history, run.best_epoch, f"{run.name} v{run.version}: training")
    files = {} if drawn is None else {"curves.png": drawn}
    try:
        return log.record(run, files)
    except EvaluationError as error:
        if isinstance(log, RunFolder):
            raise
        typer.echo(f"driftline: the run is logged in {runs} instead: {error}", err=True)
        return RunFolder(runs).record(run, files)
