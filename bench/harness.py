"""What a benchmark scenario is, and how one is run and reported.

A scenario is a function `(run: Run) -> Outcome` with a `Scenario` object below it in the same file,
and one line in `SCENARIOS`. The function builds its workload first (through `bench.data.workloads`,
seeded and cached), measures, runs its peers in the same call, alternating with the measured code,
and returns plain numbers. Ids in `SCENARIOS` are permanent: a changed measurement gets a new id.

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
        """Whether `value` is at least as good as `bound`; True if absent."""
        if bound is None:
            return True
        return value >= bound if self.better == "higher" else value <= bound


@dataclass(frozen=True, slots=True)
class Scenario:
    """One benchmark.

    Attributes:
        id: Permanent name.
        description: One sentence: what is measured, on what.
        function: Measures it.
        targets: Per metric; metrics without one are reported and never flagged.
        detectors: Names of the registered window detectors that this scenario measures.
        processes: Whether `--processes` has a meaning here.
    """

    id: str
    description: str
    function: "Callable[[Run], Outcome]"
    targets: Mapping[str, Target]
    detectors: tuple[str, ...] = ()
    processes: bool = False


@dataclass(slots=True)
class Run:
    """One run as its scenario sees it: the user's settings, and where to report progress.

    `settings` collects every setting that was asked for, with the value used, so that a result
    states how it was made.
    """

    processes: int = 1
    overrides: Mapping[str, str] = field(default_factory=dict)
    report: Callable[[str, int, int], None] = lambda stage, done, total: None
    settings: dict[str, int | float | str | bool] = field(default_factory=dict)

    def setting(self, name: str, default: T) -> T:
        """The value of `--set name=...`, read as the kind of `default`, or `default`.

        Raises:
            SettingError: the text is not a value of that kind.
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
    """What a scenario measured.

    Attributes:
        metrics: Metrics of Driftline.
        peers: Metrics of each peer by the peer's name.
        detail: Tables that only the JSON result holds.
    """

    metrics: Mapping[str, Number]
    peers: Mapping[str, Mapping[str, Number]] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)


SCENARIOS: Mapping[str, str] = {
    "parse-hdfs": "bench.scenarios.parse:PARSE_HDFS",
    "parse-real": "bench.scenarios.parse:PARSE_REAL",
    "parse-cold": "bench.scenarios.parse:PARSE_COLD",
    "parse-loghub": "bench.scenarios.parse:PARSE_LOGHUB",
    "parse-loghub-repeated": "bench.scenarios.parse:PARSE_LOGHUB_REPEATED",
    "templates-loghub": "bench.scenarios.templates:TEMPLATES_LOGHUB",
    "formats-loghub": "bench.scenarios.templates:FORMATS_LOGHUB",
    "formats-programs": "bench.scenarios.formats_programs:FORMATS_PROGRAMS",
    "engine-file-hdfs": "bench.scenarios.engine_runs:ENGINE_FILE_HDFS",
    "engine-kafka-hdfs": "bench.scenarios.engine_runs:ENGINE_KAFKA_HDFS",
    "engine-kafka-otlp": "bench.scenarios.engine_runs:ENGINE_KAFKA_OTLP",
    "latency-kafka-hdfs": "bench.scenarios.latency:LATENCY_KAFKA_HDFS",
    "score-windows": "bench.scenarios.scoring:SCORE_WINDOWS",
    "encode-templates": "bench.scenarios.encoding:ENCODE_TEMPLATES",
    "encode-messages": "bench.scenarios.encoding:ENCODE_MESSAGES",
    "train-step": "bench.scenarios.encoding:TRAIN_STEP",
    "memory-sessions": "bench.scenarios.memory:MEMORY_SESSIONS",
    "detect-hdfs-8020": "bench.scenarios.detection:DETECT_HDFS_8020",
    "detect-hdfs-deeplog": "bench.scenarios.detection:DETECT_HDFS_DEEPLOG",
    "detect-hdfs-chrono": "bench.scenarios.detection:DETECT_HDFS_CHRONO",
    "detect-bgl-lines": "bench.scenarios.detection:DETECT_BGL_LINES",
    "detect-iotdb": "bench.scenarios.detection:DETECT_IOTDB",
    "detect-foreign": "bench.scenarios.foreign:DETECT_FOREIGN",
    "ask-labels": "bench.scenarios.label_queries:ASK_LABELS",
    "incidents": "bench.scenarios.incidents:INCIDENTS",
    "drift-everyday": "bench.scenarios.drift_everyday:DRIFT_EVERYDAY",
    "drift-overhead": "bench.scenarios.drift_overhead:DRIFT_OVERHEAD",
    "rollup-overhead": "bench.scenarios.rollup_overhead:ROLLUP_OVERHEAD",
    "rollup-overhead-archive": "bench.scenarios.rollup_overhead:ROLLUP_OVERHEAD_ARCHIVE",
    "findings-overhead": "bench.scenarios.findings_overhead:FINDINGS_OVERHEAD",
    "drift-quality": "bench.scenarios.drift_quality:DRIFT_QUALITY",
    "classify-seven-random": "bench.scenarios.classification:CLASSIFY_SEVEN_RANDOM",
    "classify-seven-template": "bench.scenarios.classification:CLASSIFY_SEVEN_TEMPLATE",
    "classify-seven-source": "bench.scenarios.classification:CLASSIFY_SEVEN_SOURCE",
    "classify-lines": "bench.scenarios.classification:CLASSIFY_LINES",
    "federate-hdfs-chrono": "bench.scenarios.federation_chrono:FEDERATE_HDFS_CHRONO",
    "federate-nodes": "bench.scenarios.federation_nodes:FEDERATE_NODES",
    "federate-table": "bench.scenarios.federation_table:FEDERATE_TABLE",
    "federate-iotdb": "bench.scenarios.federation_regions:FEDERATE_IOTDB",
    "federate-simulated": "bench.scenarios.federation_regions:FEDERATE_SIMULATED",
    "train-interference": "bench.scenarios.interference:TRAIN_INTERFERENCE",
    "drift-to-swap": "bench.scenarios.drift_to_swap:DRIFT_TO_SWAP",
    "serve-pages": "bench.scenarios.serve_pages:SERVE_PAGES",
    "serve-predict": "bench.scenarios.serve_predict:SERVE_PREDICT",
    "alert-readers": "bench.scenarios.alert_readers:ALERT_READERS",
}
"""Scenario by id, as `module:NAME` of the object that stands below its function; imported when it is asked for."""


def find_scenario(scenario_id: str) -> Scenario:
    """The scenario with this id.

    Raises:
        UnknownScenarioError: the id is not in `SCENARIOS`.
    """
    if scenario_id not in SCENARIOS:
        raise UnknownScenarioError(f"no scenario {scenario_id!r}; known are: {', '.join(SCENARIOS)}")
    module, _, name = SCENARIOS[scenario_id].partition(":")
    scenario: Scenario = getattr(importlib.import_module(module), name)
    return scenario


def run_scenario(scenario: Scenario, run: Run) -> dict[str, Any]:
    """Runs it and returns the result document: scenario, metrics, peers, machine, settings.

    Raises:
        SettingError: an override that the scenario never asked for, found after the run.
    """
    if run.processes != 1 and not scenario.processes:
        raise SettingError(f"{scenario.id} runs in one process; --processes has no meaning for it")
    machine = describe_machine()
    outcome = scenario.function(run)
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
        **({"detail": dict(outcome.detail)} if outcome.detail else {}),
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
