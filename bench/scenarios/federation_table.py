"""Scenario federate-table: what a round brings, over several logs, detectors and kinds of labels."""

import itertools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.detection_data import Labelled
from bench.data.one_round import ServedModel, after_round, judged, region_of, scores_of, trained_alone
from bench.data.region_cases import CASES, RegionCase
from bench.harness import Outcome, Run, Scenario, SettingError, Target
from federation.round.settings import RoundSettings
from models.base import Windows
from models.detectors.registry import build
from models.training.label_queries import choose_queries, uncertainties

WAYS = ("static", "local", "federated", "central")
LABELS = ("all", "none", "others", "ten")
"""Who has labels: all regions; none, so that all windows count as normal; all but the one that is judged; or all
regions, for the windows that ten questions of `driftline ask` label."""
ANSWERS = 10

DETECTORS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "event_counts": ("event_counts", {}),
    "event_counts_boosted": ("event_counts", {"head": "boosted"}),
    "bert_cnn": ("bert_cnn", {}),
    "deeplog": ("deeplog", {}),
    "logbert": ("logbert", {}),
    "lstm_autoencoder": ("lstm_autoencoder", {}),
}
"""Name in the table → detector and its settings."""

ALLOWED_LOSS = 0.01
"""F1 by which a federated row may be below the better one of static and local."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the table: a case, who has labels, and a detector."""

    case: str
    labels: str
    detector: str

    @property
    def name(self) -> str:
        return f"{self.case}.{self.labels}.{self.detector}"


def federate_table(run: Run) -> Outcome:
    """One round at default settings on every case; F1 on each region's own windows to come, mean over regions.

    `static` serves the first model on, `local` is one round of each region alone, `central` one of all windows
    in one place. In rows `others` the first region has no labels, and only its F1 counts. Rounds go through the gate:
    what it refuses is not served.
    """
    cases = _known(run.setting("cases", ",".join(CASES)), CASES)
    detectors = _known(run.setting("detectors", "event_counts,event_counts_boosted"), DETECTORS)
    labels, seeds = _known(run.setting("labels", ",".join(LABELS)), LABELS), run.setting("seeds", 3)
    rows = [_Row(*parts) for parts in itertools.product(cases, labels, detectors) if _possible(*parts)]
    found: dict[str, list[float]] = {}
    drawn = lru_cache(1)(lambda name, seed: CASES[name](seed))
    with tempfile.TemporaryDirectory() as folder:
        for number, (seed, row) in enumerate(itertools.product(range(seeds), rows)):
            for way, f1 in _measured(row, drawn(row.case, seed), seed, Path(folder)).items():
                found.setdefault(f"{row.name}.{way}", []).append(f1)
            run.progress("rows", number + 1, seeds * len(rows))
    figures = {name: float(np.mean(values)) for name, values in found.items()}
    spread = {name: float(np.std(values)) for name, values in found.items()}
    return Outcome(
        {**_summary(rows, figures), **{f"{name}.f1": v for name, v in figures.items()}}, detail={"sd": spread}
    )


def _known(chosen: str, names: Any) -> list[str]:
    if unknown := sorted(set(chosen.split(",")) - set(names)):
        raise SettingError(f"{', '.join(unknown)} is not among {', '.join(names)}")
    return chosen.split(",")


def _possible(_case: str, labels: str, detector: str) -> bool:
    """A detector that learns from labels needs some."""
    name, settings = DETECTORS[detector]
    return labels != "none" or not build(name, settings, device="cpu").supervised


def _measured(row: _Row, case: RegionCase, seed: int, cache: Path) -> dict[str, float]:
    """F1 of each way, mean over the regions that count."""
    name, settings = DETECTORS[row.detector]
    start = trained_alone(case.start, cache, detector=name, settings=settings, labelled=row.labels != "none", seed=seed)
    first = min(case.learn)
    known = {n: _known_labels(row.labels, learn, start, cache, judged=n == first) for n, learn in case.learn.items()}
    judge = [first] if row.labels == "others" else sorted(case.learn)
    regions = {n: region_of(n, learn, cache, seed, known=known[n]) for n, learn in sorted(case.learn.items())}
    rounds = RoundSettings.model_validate({"seed": seed, "deadline_s": 86_400, "reply_s": 86_400})
    alone = rounds.model_copy(update={"min_regions": 1})
    every = np.concatenate([known[n] for n in sorted(known)])
    whole = {"all": region_of("all", _joined(case), cache, seed, known=every)}
    served: dict[str, Mapping[str, ServedModel]] = {
        "static": dict.fromkeys(regions, start),
        "local": {n: after_round(start, {n: regions[n]}, alone)[n] for n in judge},
        "federated": after_round(start, regions, rounds),
        "central": dict.fromkeys(regions, after_round(start, whole, alone)["all"]),
    }
    return {
        way: float(np.mean([judged(models[n], case.test[n], cache).f1 for n in judge]))
        for way, models in served.items()
    }


def _known_labels(labels: str, learn: Labelled, start: ServedModel, cache: Path, *, judged: bool) -> NDArray[np.bool_]:
    """Windows whose label a region has, bool (n,); see `LABELS`."""
    known = np.zeros(len(learn.labels), bool)
    if labels == "ten":
        unsure = uncertainties(scores_of(start, learn, cache), start.threshold)
        for query in choose_queries(learn.windows, unsure, ANSWERS):
            known[query.like] = True
    return known | (labels == "all" or (labels == "others" and not judged))


def _joined(case: RegionCase) -> Labelled:
    """The windows of all regions in one place, by the names of the regions."""
    parts = [case.learn[n] for n in sorted(case.learn)]
    rows = [part.windows.row(i) for part in parts for i in range(len(part.windows))]
    closed = np.concatenate([part.windows.closed for part in parts]).tolist()
    templates = {i: text for part in parts for i, text in part.templates.items()}
    labels = np.concatenate([part.labels for part in parts])
    return Labelled(Windows.of(rows, closed), labels, templates, np.zeros(len(rows), np.int64))


def _summary(rows: list[_Row], figures: Mapping[str, float]) -> dict[str, float]:
    """How many rows there are, in how many a round holds what was there, and what it gains in the mean."""
    gains = {
        row: figures[f"{row.name}.federated"] - max(figures[f"{row.name}.static"], figures[f"{row.name}.local"])
        for row in rows
    }
    over_static = {row: figures[f"{row.name}.federated"] - figures[f"{row.name}.static"] for row in rows}
    unlabelled = [gain for row, gain in over_static.items() if row.labels == "none"]
    summary = {
        "rows": float(len(rows)),
        "rows_held": float(sum(gain >= -ALLOWED_LOSS for gain in gains.values())),
        "gain_over_static": float(np.mean(list(over_static.values()))),
        "gain_over_both": float(np.mean(list(gains.values()))),
    }
    return summary | ({"unlabelled_lost": float(sum(g < 0 for g in unlabelled))} if unlabelled else {})


FEDERATE_TABLE = Scenario(
    "federate-table",
    "One round at default settings on seven logs of three regions: first model, each alone, federated, central",
    federate_table,
    {
        "rows_held": Target(tolerance=0.05),
        "unlabelled_lost": Target(better="lower", goal=0, tolerance=0.5),
        "gain_over_static": Target(tolerance=0.2),
    },
    detectors=("event_counts",),
)
