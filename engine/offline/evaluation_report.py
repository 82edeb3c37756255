"""What `driftline evaluate --out` writes: metrics.json, plots, and one page that needs no other file."""

import base64
import os
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from engine.offline.evaluate import EvaluatedModel, Evaluation
from foundation.errors import DriftlineError
from foundation.extras import require
from foundation.time_text import iso_time

WRONG_SHOWN = 10


class EvaluationError(DriftlineError):
    """An evaluation, or the log of a run, cannot be written or read; one sentence that names the place."""


def prepare(folder: Path) -> None:
    """Create the folder before the work begins, so that a failure is reported at once.

    Raises:
        EvaluationError: it is a file, or is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(f"{folder} cannot be created: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise EvaluationError(f"{folder} is not writable; choose another folder")


def write(evaluation: Evaluation, folder: Path) -> dict[str, Any]:
    """Writes everything and returns the content of metrics.json.

    All is made in memory first and each file then appears whole under its name, metrics.json last.

    Raises:
        EvaluationError: the folder cannot be written.
        MissingExtraError: the extra `evaluation` is not installed.
    """
    require("evaluation", "the evaluation report")
    from engine.offline.plots import all_plots

    document = evaluation.document()
    plots = all_plots(evaluation)
    write_files(folder, {
        **plots,
        "report.html": render(evaluation, document, plots).encode(),
        "metrics.json": orjson.dumps(document, option=orjson.OPT_INDENT_2),
    })  # fmt: skip
    return document


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Writes files in order, each by rename.

    Raises:
        EvaluationError: the folder cannot be written; no file is half-written then.
    """
    prepare(folder)
    for name, content in files.items():
        partial = folder / f".{name}.{os.getpid()}"
        try:
            partial.write_bytes(content)
            partial.replace(folder / name)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise EvaluationError(f"{folder / name} cannot be written: {error.strerror}") from error


def render(evaluation: Evaluation, document: dict[str, Any], plots: dict[str, bytes]) -> str:
    """The page, with the plots inside it."""
    from jinja2 import Environment, StrictUndefined

    page = resources.files("engine.offline").joinpath("report.html").read_text("utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(page)
    return template.render(
        main=evaluation.main, document=document, unit=evaluation.unit,
        rows=[document, *document["compared"].values()],
        plots={name: base64.b64encode(content).decode() for name, content in plots.items()},
        missed=wrong(evaluation.main, anomalous=True), false_alerts=wrong(evaluation.main, anomalous=False),
    )  # fmt: skip


def wrong(judged: EvaluatedModel, *, anomalous: bool) -> list[dict[str, Any]]:
    """The units that were judged wrong, the furthest from the threshold first.

    Args:
        judged: The detector.
        anomalous: True: anomalies that were missed; False: normal units that were called anomalous.
    """
    units = judged.units
    index = np.flatnonzero((units.labels == anomalous) & (judged.called != anomalous))
    order = index[np.argsort(units.scores[index] if anomalous else -units.scores[index], kind="stable")]
    return [
        {
            "key": units.keys[i] or "-",
            "score": float(units.scores[i]),
            "lines": int(units.lines[i]),
            "time": iso_time(int(units.time_ns[i]))[:19].replace("T", " "),
        }
        for i in order[:WRONG_SHOWN].tolist()
    ]
