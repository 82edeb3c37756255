"""Scenario drift-quality: what the drift monitor reports on streams in which nothing changes, and of real changes.

The HDFS sample's sessions are dealt out by chance into three thirds: the model is trained on the first, the
monitor's defaults were chosen on the second, and the third is measured. A stream is drawn from its third
with replacement, so nothing in it changes but what is changed on purpose at a known place.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.detection_data import Labelled, hdfs_sessions, of_sessions
from bench.harness import BenchError, Number, Outcome, Run, Scenario, SettingError, Target
from engine.drift.event import DriftEvent
from engine.drift.monitor import DriftMonitor
from engine.drift.registry import STATISTICS, statistic_class
from engine.drift.settings import DriftSettings
from engine.drift.template_counts import TemplateColumns
from engine.drift.vectors import template_vectors
from models.base import Windows, template_id
from models.text.embeddings import embedding_cache
from models.train_detector import TrainSettings, train
from models.training.scoring import WindowScorer

THIRDS = ("train", "tune", "test")
CALM = 20_000
"""Sessions before a change: the monitor has its reference by then, and has been calm for long."""
BATCH = 4_096
FAMILY = (
    "Volume <*> attached to <IP>",
    "Volume <*> checked, <NUM> replicas kept",
    "Volume <*> detached from <IP> after <NUM> ms",
)
"""A family of templates such as a release may bring: a session that gets it has all three, anywhere in it."""
MORE_OFTEN = (0.04, 0.3)
"""Rates are changed of every template that between this many of the sessions hold."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Sessions with the scores that the model in service gives them."""

    windows: Windows
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NamedChange:
    """A change under its name: what comes after the calm part of a stream."""

    name: str
    after: Scored
    weights: NDArray[np.float64]


def drift_quality(run: Run) -> Outcome:
    """False triggers of unchanged streams; delay of every change in sessions, the longest over all seeds."""
    seeds, sessions = run.setting("seeds", 5), run.setting("sessions", 100_000)
    share, factor = run.setting("family_share", 0.2), run.setting("rate_factor", 3.0)
    part, encoder = run.setting("part", "test"), run.setting("encoder", "minilm")
    if part not in ("tune", "test"):
        raise SettingError(f"--set part={part}: expected tune or test")
    settings = _settings(run)
    run.progress("training", 0, 0)
    thirds = _thirds(of_sessions(hdfs_sessions()))
    scorer = _scorer(thirds["train"], encoder)
    calm = Scored(thirds[part].windows, scorer.score(thirds[part].windows))
    texts = {**thirds["train"].templates, **{template_id(text): text for text in FAMILY}}
    changes = [_with_family(calm, scorer, share), *_more_often(calm, texts, factor)]
    false: list[int] = []
    delays: dict[str, list[float]] = {change.name: [] for change in changes}
    for seed in range(seeds):
        events = _watch(_monitor(settings, texts, scorer), scorer, _draw(calm, sessions, seed, None))
        false.append(len(events))
        for change in changes:
            delays[change.name].append(_delay(_monitor(settings, texts, scorer), scorer, calm, change, seed))
        run.progress("streams", seed + 1, seeds)
    return Outcome(_figures(false, delays))


def _settings(run: Run) -> DriftSettings:
    """The defaults, changed by `--set drift.KEY=value`."""
    defaults = DriftSettings()
    numbers = {
        name: run.setting(f"drift.{name}", value)
        for name, value in defaults.model_dump().items()
        if isinstance(value, int | float)
    }
    floors = {name: run.setting(f"drift.floors.{name}", statistic_class(name).floor) for name in STATISTICS}
    return DriftSettings.model_validate({**numbers, "floors": floors})


def _thirds(data: Labelled) -> dict[str, Labelled]:
    order = np.random.default_rng(0).permutation(len(data.labels))
    return {name: data.take(np.sort(part)) for name, part in zip(THIRDS, np.array_split(order, 3), strict=True)}


def _scorer(learn: Labelled, encoder: str) -> WindowScorer:
    """The model in service; it knows the templates of every third and of the new family before they come."""
    trained = train(
        learn.windows, learn.labels, learn.templates, TrainSettings(settings={"encoder": encoder}),
        device="cpu", cache=embedding_cache(),
    )  # fmt: skip
    scorer = WindowScorer(trained.detector, 1, trained.threshold)
    scorer.learn_templates({**learn.templates, **{template_id(text): text for text in FAMILY}})
    return scorer


def _monitor(settings: DriftSettings, texts: dict[int, str], scorer: WindowScorer) -> DriftMonitor:
    return DriftMonitor(settings, texts, vectors=template_vectors(scorer.detector))


def _with_family(calm: Scored, scorer: WindowScorer, share: float) -> NamedChange:
    """The new family in a share of the sessions, its lines put anywhere in them, in their order."""
    rng = np.random.default_rng(1)
    chosen = set(rng.choice(len(calm.windows), round(share * len(calm.windows)), replace=False).tolist())
    rows = []
    for i in range(len(calm.windows)):
        row = calm.windows.row(i)
        if i in chosen:
            places = np.sort(rng.integers(0, len(row) + 1, len(FAMILY)))
            row = np.insert(row, places, [template_id(text) for text in FAMILY])
        rows.append(row)
    windows = Windows.of(rows)
    return NamedChange("new_family", Scored(windows, scorer.score(windows)), _even(len(windows)))


def _more_often(calm: Scored, texts: dict[int, str], factor: float) -> Iterator[NamedChange]:
    """For each template of some of the sessions: those that hold it come this many times as often.

    Not of one that another template has replaced by widening: it cannot come any more.
    """
    columns = TemplateColumns(texts)
    column = {template: int(columns.of(np.array([template]))[0]) for template in texts}
    replaced = {t for t in texts if columns.text(column[t]) != texts[t]} | {
        t for t in texts if sum(c == column[t] for c in column.values()) > 1
    }
    session = np.repeat(np.arange(len(calm.windows)), calm.windows.lengths())
    for number, template in enumerate(sorted(texts, key=lambda t: texts[t])):
        holds = np.zeros(len(calm.windows), bool)
        holds[session[calm.windows.ids == template]] = True
        if template not in replaced and MORE_OFTEN[0] <= holds.mean() <= MORE_OFTEN[1]:
            weights = np.where(holds, factor, 1.0)
            yield NamedChange(f"rate_{number}", calm, weights / weights.sum())


def _even(n: int) -> NDArray[np.float64]:
    return np.full(n, 1 / n)


def _draw(calm: Scored, sessions: int, seed: int, change: NamedChange | None) -> Scored:
    """A stream of this many calm sessions, then as many as the calm part is long of the change."""
    rng = np.random.default_rng([seed, 0 if change is None else 1])
    drawn = rng.integers(0, len(calm.windows), sessions)
    if change is None:
        return Scored(calm.windows.take(drawn), calm.scores[drawn])
    later = rng.choice(len(change.after.windows), sessions, p=change.weights)
    joined = _join(calm.windows.take(drawn), change.after.windows.take(later))
    return Scored(joined, np.concatenate([calm.scores[drawn], change.after.scores[later]]))


def _join(a: Windows, b: Windows) -> Windows:
    offsets = np.concatenate([a.offsets, b.offsets[1:] + a.offsets[-1]])
    return Windows(np.concatenate([a.ids, b.ids]), offsets, np.concatenate([a.closed, b.closed]))


def _watch(monitor: DriftMonitor, scorer: WindowScorer, stream: Scored) -> list[DriftEvent]:
    """The events of a stream; event time is the number of the session."""
    events: list[DriftEvent] = []
    for start in range(0, len(stream.windows), BATCH):
        index = np.arange(start, min(start + BATCH, len(stream.windows)))
        events += monitor.observe(
            stream.windows.take(index), stream.scores[index], index,
            model="bert_cnn", version=1, threshold=scorer.threshold,
        )  # fmt: skip
    return events


def _delay(monitor: DriftMonitor, scorer: WindowScorer, calm: Scored, change: NamedChange, seed: int) -> float:
    """Sessions from the change to its event; all that were watched where it was not found."""
    events = _watch(monitor, scorer, _draw(calm, CALM, seed, change))
    found = [event.time_ns - CALM for event in events if event.time_ns >= CALM]
    return float(found[0]) if found else float(CALM)


def _figures(false: list[int], delays: dict[str, list[float]]) -> dict[str, Number]:
    rates = [delay for name, values in delays.items() if name != "new_family" for delay in values]
    if not rates:
        raise BenchError("no template of this part has a rate that could be changed")
    worst = {"new_family": max(delays["new_family"]), "rate": max(rates)}
    return {
        "false_triggers": max(false),
        "false_triggers_mean": float(np.mean(false)),
        "detection_delay_sessions": max(worst.values()),
        **{f"{name}.detection_delay_sessions": value for name, value in worst.items()},
        "new_family.mean_delay_sessions": float(np.mean(delays["new_family"])),
        "rate.mean_delay_sessions": float(np.mean(rates)),
        "rate.found_share": float(np.mean([delay < CALM for delay in rates])),
        "rate.changes": len(delays) - 1,
    }


DRIFT_QUALITY = Scenario(
    "drift-quality",
    "Drift monitor on resampled HDFS sessions: 100,000 unchanged ones, a new family of templates, changed rates",
    drift_quality,
    {
        "false_triggers": Target(better="lower", goal=0, floor=1, tolerance=0.0),
        "detection_delay_sessions": Target(better="lower", goal=1_500, floor=2_000, tolerance=0.2),
    },
    detectors=("bert_cnn",),
)
