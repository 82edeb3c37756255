"""What a benchmark scenario is, and how one is run and reported.

A scenario is a function `scenario(run: Run) -> Outcome`. It builds its workload first (through
`bench.data.workloads`, seeded and cached), measures, lets its peers run in the same call, alternating
with what is measured, and returns plain numbers. Ids in `SCENARIOS` are permanent: a changed
measurement gets a new id.

Errors::

    BenchError
    ├── UnknownScenarioError   no scenario of that id; the message lists the known ones
    └── SettingError      a --set key or value that the scenario does not take
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from bench.machine import describe_machine
from foundation.errors import DriftlineError

Number = int | float
T = TypeVar("T", int, float, str, bool)


class BenchError(DriftlineError):
    """Base of every error that the benchmarks raise on purpose; the message is for the user."""


class UnknownScenarioError(BenchError):
    """There is no scenario of that id."""


class SettingError(BenchError):
    """A setting that the scenario does not take, or a value of the wrong kind."""


@dataclass(frozen=True, slots=True)
class Target:
    """What one metric should reach.

    Attributes:
        better: Direction of improvement.
        goal: What is aimed for, or None.
        floor: What must be met (a ceiling where lower is better), or None.
        tolerance: Relative change that `compare` takes for noise; 0.1 is 10 %.
    """

    better: Literal["higher", "lower"] = "higher"
    goal: Number | None = None
    floor: Number | None = None
    tolerance: float = 0.1

    def meets(self, value: Number, bound: Number | None) -> bool:
        """Whether `value` is at least as good as `bound`; True where there is none."""
        if bound is None:
            return True
        return value >= bound if self.better == "higher" else value <= bound


@dataclass(frozen=True, slots=True)
class Scenario:
    """One benchmark.

    Attributes:
        id: Permanent name.
        description: One sentence: what is measured, on what.
        function: `module:name` of `(Run) -> Outcome`, imported only when the scenario runs.
        targets: Per metric; metrics without one are reported and never flagged.
        detectors: Names of the registered window detectors that this scenario measures.
        processes: Whether `--processes` has a meaning here.
    """

    id: str
    description: str
    function: str
    targets: Mapping[str, Target]
    detectors: tuple[str, ...] = ()
    processes: bool = False

    def load(self) -> "Callable[[Run], Outcome]":
        """The scenario's function."""
        module, _, name = self.function.partition(":")
        function: Callable[[Run], Outcome] = getattr(importlib.import_module(module), name)
        return function


@dataclass(slots=True)
class Run:
    """One run as its scenario sees it: the user's settings, and where to report progress.

    `settings` collects every setting that was asked for, with the value used, so that a result
    says how it was made.
    """

    processes: int = 1
    overrides: Mapping[str, str] = field(default_factory=dict)
    report: Callable[[str, int, int], None] = lambda stage, done, total: None
    settings: dict[str, int | float | str | bool] = field(default_factory=dict)

    def setting(self, name: str, default: T) -> T:
        """The value of `--set name=...`, read as the kind of `default`, or `default`.

        Raises:
            SettingError: the text is no value of that kind.
        """
        value = default
        if name in self.overrides:
            value = _read(name, self.overrides[name], default)
        self.settings[name] = value
        return value

    def progress(self, stage: str, done: int, total: int) -> None:
        """Shows how far the run is; `total` 0 means unknown. Never call it inside timed code."""
        self.report(stage, done, total)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scenario measured: metrics of Driftline, and of each peer by the peer's name."""

    metrics: Mapping[str, Number]
    peers: Mapping[str, Mapping[str, Number]] = field(default_factory=dict)


EVERY_DETECTOR = ("bert_cnn", "deeplog", "event_counts", "logbert", "lstm_autoencoder")
_DEEPLOG_SPLIT_GOALS = {"deeplog.f1": 0.91, "logbert.f1": 0.95, "event_counts.f1": 0.988}
SCENARIOS: dict[str, Scenario] = {
    "parse-hdfs": Scenario(
        "parse-hdfs",
        "Header, timestamp, session key and template id of the HDFS sample in real order, beside plain Drain3",
        "bench.scenarios.parse:parse_hdfs",
        {
            "lines_per_s": Target(tolerance=0.15),
            "ratio": Target(goal=15, floor=10, tolerance=0.15),
            "same_cluster_share": Target(goal=1.0, floor=0.9999, tolerance=0.0001),
        },
    ),
    "parse-loghub": Scenario(
        "parse-loghub",
        "Sixteen formats, each detected, with header fields and template ids, beside plain Drain3 with the same masks",
        "bench.scenarios.parse:parse_loghub",
        {
            "lines_per_s": Target(tolerance=0.15),
            "ratio": Target(goal=10, floor=5, tolerance=0.15),
            "same_cluster_share": Target(goal=1.0, floor=0.9999, tolerance=0.0001),
        },
    ),
    "templates-loghub": Scenario(
        "templates-loghub",
        "Grouping accuracy and FGA of the templates of loghub's sixteen samples against its reference",
        "bench.scenarios.templates:templates_loghub",
        {
            "ga_mean": Target(goal=0.93, floor=0.90, tolerance=0.005),
            "ga_min": Target(goal=0.75, floor=0.70, tolerance=0.01),
            "fga_mean": Target(goal=0.89, tolerance=0.005),
        },
    ),
    "formats-loghub": Scenario(
        "formats-loghub",
        "Share of loghub's lines whose format is recognised, each by itself and within its source",
        "bench.scenarios.templates:formats_loghub",
        {
            "format_accuracy": Target(goal=1.0, floor=0.999, tolerance=0.001),
            "format_accuracy_source": Target(goal=1.0, floor=0.999, tolerance=0.001),
        },
    ),
    "engine-file-hdfs": Scenario(
        "engine-file-hdfs",
        "File to alerts file through parse, session windows, BERT-CNN and decide, recovery on; fresh block ids",
        "bench.scenarios.engine_runs:engine_file_hdfs",
        {
            "lines_per_s": Target(goal=1_000_000, floor=400_000, tolerance=0.15),
            "windows_per_s": Target(tolerance=0.15),
            "rss_bytes": Target(better="lower", tolerance=0.2),
        },
        detectors=("bert_cnn",),
        processes=True,
    ),
    "engine-kafka-hdfs": Scenario(
        "engine-kafka-hdfs",
        "The same through Kafka topics, one line a message, beside the textbook per-line flow",
        "bench.scenarios.engine_runs:engine_kafka_hdfs",
        {
            "lines_per_s": Target(goal=500_000, floor=250_000, tolerance=0.15),
            "windows_per_s": Target(tolerance=0.15),
            "ratio": Target(floor=6, tolerance=0.2),
        },
        detectors=("bert_cnn",),
        processes=True,
    ),
    "latency-kafka-hdfs": Scenario(
        "latency-kafka-hdfs",
        "Produce to alert consumed, at a steady 100,000 lines/s",
        "bench.scenarios.engine_runs:latency_kafka_hdfs",
        {
            "p50_ms": Target(better="lower", tolerance=0.25),
            "p99_ms": Target(better="lower", goal=250, floor=500, tolerance=0.25),
        },
        detectors=("bert_cnn",),
    ),
    "score-windows": Scenario(
        "score-windows",
        "bert_cnn on one core: windows without duplicates, and with HDFS's own",
        "bench.scenarios.scoring:score_windows",
        {
            "windows_per_s": Target(goal=25_000, floor=15_000, tolerance=0.15),
            "windows_per_s_duplicates": Target(goal=300_000, floor=100_000, tolerance=0.15),
        },
        detectors=("bert_cnn",),
    ),
    "memory-sessions": Scenario(
        "memory-sessions",
        "Memory with one million open sessions, and its growth over 20 million lines",
        "bench.scenarios.memory:memory_sessions",
        {"rss_bytes": Target(better="lower", goal=2 << 30, floor=4 << 30, tolerance=0.1)},
    ),
    "detect-hdfs-8020": Scenario(
        "detect-hdfs-8020",
        "Detection on the HDFS sample, 80/20 by session, five seeds",
        "bench.scenarios.detection:detect_hdfs_8020",
        {"f1": Target(goal=0.995, floor=0.98, tolerance=0.005), "f1_std": Target(better="lower", tolerance=1.0)},
        detectors=EVERY_DETECTOR,
    ),
    "detect-hdfs-deeplog": Scenario(
        "detect-hdfs-deeplog",
        "The DeepLog split of HDFS: trained on 4,855 normal sessions, tested on 16,838 abnormal and weighted normals",
        "bench.scenarios.detection:detect_hdfs_deeplog",
        {name: Target(goal=goal, tolerance=0.01) for name, goal in _DEEPLOG_SPLIT_GOALS.items()},
        detectors=("deeplog", "event_counts", "logbert", "lstm_autoencoder"),
    ),
    "detect-hdfs-chrono": Scenario(
        "detect-hdfs-chrono",
        "The HDFS sample in time order: trained on the first fifth, tested on the rest without retraining",
        "bench.scenarios.detection:detect_hdfs_chrono",
        {"bert_cnn.f1": Target(tolerance=0.05)},
        detectors=EVERY_DETECTOR,
    ),
    "detect-bgl-lines": Scenario(
        "detect-bgl-lines",
        "BGL line by line, split at random and by template, so that memorised templates do not count",
        "bench.scenarios.detection:detect_bgl_lines",
        {"bert_cnn.f1": Target(tolerance=0.01), "bert_cnn.new_templates.f1": Target(tolerance=0.05)},
        detectors=EVERY_DETECTOR,
    ),
    "detect-iotdb": Scenario(
        "detect-iotdb",
        "IoTDB under fault injection, windows of 20 lines or 5 s, scenarios left out of training",
        "bench.scenarios.detection:detect_iotdb",
        {"bert_cnn.f1": Target(tolerance=0.05)},
        detectors=EVERY_DETECTOR,
    ),
    "drift-overhead": Scenario(
        "drift-overhead",
        "The drift step's share of the engine's CPU time, from file to alerts file; and runs without it beside",
        "bench.scenarios.drift_overhead:drift_overhead",
        {"overhead_share": Target(better="lower", goal=0.02, floor=0.03, tolerance=0.5)},
        detectors=("bert_cnn",),
    ),
    "drift-quality": Scenario(
        "drift-quality",
        "Drift monitor on resampled HDFS sessions: 100,000 unchanged ones, a new family of templates, changed rates",
        "bench.scenarios.drift_quality:drift_quality",
        {
            "false_triggers": Target(better="lower", goal=0, floor=1, tolerance=0.0),
            "detection_delay_sessions": Target(better="lower", goal=1_500, floor=2_000, tolerance=0.2),
        },
        detectors=("bert_cnn",),
    ),
    "classify-seven-random": Scenario(
        "classify-seven-random",
        "Seven classes of log lines, a stratified fifth of the lines as test set, five seeds",
        "bench.scenarios.classification:classify_seven_random",
        {"xgboost.macro_f1": Target(goal=0.97, tolerance=0.01), "random_forest.macro_f1": Target(tolerance=0.01)},
    ),
    "classify-seven-template": Scenario(
        "classify-seven-template",
        "Seven classes of log lines, a fifth of each class's templates as test set, so that no template was seen",
        "bench.scenarios.classification:classify_seven_template",
        {"xgboost.macro_f1": Target(tolerance=0.05)},
    ),
    "classify-seven-source": Scenario(
        "classify-seven-source",
        "Seven classes of log lines, each of the 16 systems in turn as test set",
        "bench.scenarios.classification:classify_seven_source",
        {"xgboost.macro_f1": Target(tolerance=0.05)},
    ),
    "classify-lines": Scenario(
        "classify-lines",
        "Seconds to train all line classifiers and to classify 32,000 lines, and lines a second, cached and uncached",
        "bench.scenarios.classification:classify_lines",
        {
            "train_s": Target(better="lower", goal=900, tolerance=0.2),
            "file_s": Target(better="lower", goal=30, tolerance=0.2),
        },
    ),
    "federate-hdfs-chrono": Scenario(
        "federate-hdfs-chrono",
        "The HDFS sample as it happened, in three regions: untouched, each region alone, federated, central, periodic",
        "bench.scenarios.federation_chrono:federate_hdfs_chrono",
        {
            "federated.f1": Target(goal=0.97, tolerance=0.01),
            "federated.of_central": Target(goal=0.99, tolerance=0.01),
            "central.f1": Target(tolerance=0.01),
            **{f"{way}.f1": Target(tolerance=0.02) for way in ("local", "periodic")},
            "static.f1": Target(tolerance=0.05),
            "rounds": Target(better="lower", tolerance=0.5),
        },
        detectors=("bert_cnn",),
    ),
    "federate-iotdb": Scenario(
        "federate-iotdb",
        "Six IoTDB nodes as six regions: federated, each alone, central; judged on scenarios left out",
        "bench.scenarios.federation_regions:federate_iotdb",
        {f"{way}.f1": Target(tolerance=0.03) for way in ("federated", "local", "central")},
        detectors=("bert_cnn",),
    ),
    "federate-simulated": Scenario(
        "federate-simulated",
        "A hundred virtual regions with unlike windows, every strategy, with and without hostile regions",
        "bench.scenarios.federation_regions:federate_simulated",
        {"fedavg.f1": Target(tolerance=0.03), "fedavg.hostile.f1": Target(tolerance=0.05)},
        detectors=("bert_cnn",),
    ),
    "train-interference": Scenario(
        "train-interference",
        "The engine's speed from file to alerts while the region's warm trainer trains all the time, against alone",
        "bench.scenarios.interference:train_interference",
        {"throughput_share": Target(goal=0.9, floor=0.8, tolerance=0.1)},
        detectors=("bert_cnn",),
    ),
    "drift-to-swap": Scenario(
        "drift-to-swap",
        "From a drift event to the last of three engines on the new version: engines under load, nodes, coordinator",
        "bench.scenarios.drift_to_swap:drift_to_swap",
        {
            "drift_to_swap_s": Target(better="lower", goal=15, tolerance=0.25),
            "swap_pause_ms": Target(better="lower", goal=50, tolerance=0.5),
            **{f"windows_{fate}": Target(better="lower", floor=0) for fate in ("lost", "twice")},
        },
        detectors=("bert_cnn",),
    ),
}


def find_scenario(scenario_id: str) -> Scenario:
    """The scenario of that id.

    Raises:
        UnknownScenarioError: there is none.
    """
    if scenario_id not in SCENARIOS:
        raise UnknownScenarioError(f"no scenario {scenario_id!r}; known are: {', '.join(SCENARIOS)}")
    return SCENARIOS[scenario_id]


def run_scenario(scenario: Scenario, run: Run) -> dict[str, Any]:
    """Runs it and returns the result document: scenario, metrics, peers, machine, settings.

    Raises:
        SettingError: an override that the scenario never asked for, found after the run.
    """
    if run.processes != 1 and not scenario.processes:
        raise SettingError(f"{scenario.id} runs in one process; --processes has no meaning for it")
    machine = describe_machine()
    outcome = scenario.load()(run)
    unused = sorted(set(run.overrides) - set(run.settings))
    if unused:
        known = ", ".join(run.settings) or "none"
        raise SettingError(f"{scenario.id} has no setting {', '.join(unused)}; it has: {known}")
    return {
        "scenario": scenario.id,
        "metrics": dict(outcome.metrics),
        "peers": {name: dict(values) for name, values in outcome.peers.items()},
        "machine": machine,
        "settings": {"processes": run.processes, **run.settings},
    }


def _read(name: str, text: str, default: T) -> T:
    """`text` as a value of the kind of `default`."""
    kind = type(default)
    if kind is bool:
        truth = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() in truth:
            return kind(truth[text.lower()])
        raise SettingError(f"--set {name}={text}: expected true or false")
    try:
        return kind(text.replace("_", "")) if kind is not str else kind(text)
    except ValueError:
        raise SettingError(f"--set {name}={text}: expected {kind.__name__}, as in {name}={default}") from None
