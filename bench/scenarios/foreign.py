"""Detection on a system that was never seen: trained on one data set, scored on the others.

A detector cannot know which templates of a foreign system are normal, so only what is known beforehand ranks its
windows: the level, the words and the status of its lines (`engine.findings.prior`). That prior is measured next to the
detectors; it is not trained, so it has one figure for each data set. Every detector is trained on at most `windows`
windows, drawn at random.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.detection_data import Labelled, bgl_lines, hdfs_sessions, iotdb, of_sessions
from bench.harness import Outcome, Run, Scenario, Target
from connectors.files import place_of
from engine.corpus.data import Folders
from engine.findings.prior import judge
from engine.offline.log_reading import file_batches
from engine.parsing.parse_settings import ParseSettings
from engine.steps.parse import Parser
from models.detectors.registry import build
from models.training.metrics import roc_auc

SETS: Mapping[str, Callable[[], Labelled]] = {
    "hdfs": lambda: of_sessions(hdfs_sessions()),
    "bgl": bgl_lines,
    "iotdb": lambda: iotdb("lines")[0],
}
LOGS = {"hdfs": "hdfs/HDFS_2pct.log.xz", "bgl": "bgl/BGL_20k.log.xz"}
"""Where the level of each template is read; IoTDB is judged by its texts alone."""
HEADS = {"event_counts": "nearest", "event_counts_boosted": "boosted"}


def template_levels(name: str) -> dict[int, int]:
    """The most frequent level of each template of a data set; {} where its log is not read for levels."""
    folder = Folders.of(os.environ).data
    if name not in LOGS or folder is None:
        return {}
    parser, counts = Parser(ParseSettings(format=name), place_of), Counter[tuple[int, int]]()
    for batch in file_batches(Path(folder / LOGS[name])):
        parsed = parser.parse(batch)
        counts.update(zip(parsed.good.template.tolist(), parsed.level().tolist(), strict=True))
    return {template: level for (template, level), _ in reversed(counts.most_common())}


def prior_scores(data: Labelled, levels: Mapping[int, int]) -> NDArray[np.float32]:
    """float32 (n,): the severity of each window's worst line, by level, words and status alone."""
    severity = {t: judge(text, levels.get(t, 0)).severity for t, text in data.templates.items()}
    lines = np.array([severity[t] for t in data.windows.ids.tolist()], np.float32)
    return np.maximum.reduceat(lines, data.windows.offsets[:-1])


def detect_foreign(run: Run) -> Outcome:
    """ROC-AUC on every data set of the prior, and of detectors trained on each of the others."""
    most = run.setting("windows", 6000)
    names = run.setting("sets", ",".join(SETS)).split(",")
    sets = {name: SETS[name]() for name in names}
    metrics = {
        f"prior.{name}.roc_auc": roc_auc(prior_scores(data, template_levels(name)), data.labels)
        for name, data in sets.items()
    }
    for number, (name, data) in enumerate(sets.items()):
        learn = data.take(np.sort(np.random.default_rng(0).permutation(len(data.labels))[:most]))
        for detector_name, head in HEADS.items():
            detector = build("event_counts", {"head": head})
            some = learn if detector.supervised else learn.take(np.flatnonzero(~learn.labels))
            detector.fit(some.windows, some.labels if detector.supervised else None, some.templates)
            for other in sets.keys() - {name}:
                detector.learn_templates(sets[other].templates)
                score = roc_auc(detector.score(sets[other].windows), sets[other].labels)
                metrics[f"{detector_name}.{name}_to_{other}.roc_auc"] = score
        run.progress("data sets", number + 1, len(sets))
    return Outcome(dict(sorted(metrics.items())))


DETECT_FOREIGN = Scenario(
    "detect-foreign",
    "Ranking on a system never seen: the prior, and detectors trained on another data set",
    detect_foreign,
    {f"prior.{name}.roc_auc": Target(goal=0.95, tolerance=0.02) for name in SETS},
    detectors=("event_counts",),
)
