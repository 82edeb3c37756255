"""Scenarios federate-iotdb and federate-simulated: one round each, judged on windows that no region has."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np

from bench.data.detection_data import Labelled, hdfs_sessions, iotdb, of_sessions
from bench.data.one_round import ServedModel, after_round, judged, region_of, trained_alone
from bench.data.partition import by_dirichlet, by_node
from bench.data.simulated_regions import ATTACKS, HostileRegion
from bench.harness import Outcome, Run, Scenario, Target
from engine.offline.datasets import split_by_session
from federation.flower.local_grid import LocalGrid
from federation.flower.network import FlowerNetwork
from federation.protocol.messages import RegionClient
from federation.round.round import run_round
from federation.round.settings import RoundSettings
from federation.round.strategies import STRATEGIES
from models.training.metrics import Confusion


def federate_iotdb(run: Run) -> Outcome:
    """Six IoTDB nodes as six regions, judged on the scenarios left out, each node on its own windows.

    `first` is the model that all start from, trained by one node alone; `local` continues on each node
    alone, `central` on all windows in one place, with as many epochs as a region makes in the federated round.
    """
    data, scenarios, nodes = iotdb(run.setting("window", "lines"))
    most, count = run.setting("train_windows", 6000), run.setting("folds", 3)
    settings, encoder = _settings(run, passes=6, local_epochs=5), run.setting("encoder", "minilm")
    alone = settings.model_copy(update={"min_regions": 1})
    folds = np.array_split(np.random.default_rng(0).permutation(len(scenarios)), count)
    found: dict[str, list[Confusion]] = {}
    with tempfile.TemporaryDirectory() as name:
        cache = Path(name)
        for number, fold in enumerate(folds):
            test = np.isin(data.group, fold)
            drawn = np.random.default_rng(number).permutation(np.flatnonzero(~test))[:most]
            parts = by_node([nodes[i] for i in drawn.tolist()])
            learn = {node: data.take(np.sort(drawn[p])) for node, p in parts.items()}
            tests = {n: data.take(np.flatnonzero(test & (np.array(nodes) == n))) for n in learn}
            start = trained_alone(learn[min(learn)], cache, settings={"encoder": encoder})
            trainers = {n: region_of(n, part, cache, i) for i, (n, part) in enumerate(sorted(learn.items()))}
            whole = {"all": region_of("all", data.take(np.sort(drawn)), cache, 0)}
            models = {
                "first": dict.fromkeys(learn, start),
                "local": {n: after_round(start, {n: t}, alone)[n] for n, t in trainers.items()},
                "federated": after_round(start, trainers, settings),
                "central": dict.fromkeys(learn, after_round(start, whole, alone)["all"]),
            }
            for way, by_region in models.items():
                found.setdefault(way, []).append(_sum([judged(by_region[n], tests[n], cache) for n in learn]))
            run.progress("folds", number + 1, count)
    f1 = {way: [cells.f1 for cells in cells_of] for way, cells_of in found.items()}
    return Outcome(
        {f"{way}.f1": float(np.mean(v)) for way, v in f1.items()} | {f"{way}.f1_min": min(v) for way, v in f1.items()}
    )


def federate_simulated(run: Run) -> Outcome:
    """Many virtual regions with unlike windows, some hostile; each strategy alone, judged on held-out sessions.

    A tenth of the regions is hostile, in the ways of `simulated_regions.ATTACKS` in turn. `no_guard` would be
    no figure: with one NaN among the updates the averaged model is NaN.
    """
    count, alpha = run.setting("regions", 100), run.setting("alpha", 0.5)
    hostile = run.setting("hostile", 10)
    strategies = run.setting("strategies", ",".join(STRATEGIES)).split(",")
    settings, encoder = _settings(run, passes=8, local_epochs=5), run.setting("encoder", "minilm")
    test, learn = split_by_session(hdfs_sessions(), 0.2, seed=0)
    learned, test_set = of_sessions(learn), of_sessions(test)
    parts = by_dirichlet(learned.windows, count, alpha, seed=0)
    figures: dict[str, float] = {"regions": float(count)}
    with tempfile.TemporaryDirectory() as name:
        cache = Path(name)
        honest = {f"r{i:03}": region_of(f"r{i:03}", learned.take(p), cache, i) for i, p in enumerate(parts)}
        start = trained_alone(
            learned.take(max(parts, key=lambda p: int(learned.labels[p].sum()))), cache, settings={"encoder": encoder}
        )
        figures["first.f1"] = judged(start, test_set, cache).f1
        for number, strategy in enumerate(strategies):
            chosen = settings.model_copy(update={"strategy": strategy})
            figures |= _simulated(strategy, start, honest, chosen, test_set, cache)
            with_liars = {**honest, **_liars(honest, hostile)}
            figures |= _simulated(f"{strategy}.hostile", start, with_liars, chosen, test_set, cache)
            run.progress("strategies", number + 1, len(strategies))
    return Outcome(figures)


def _settings(run: Run, passes: int, local_epochs: int) -> RoundSettings:
    chosen = {"passes": run.setting("passes", passes), "local_epochs": run.setting("local_epochs", local_epochs)}
    # With many regions of a few windows each, one worse region is weak evidence; the verdict is reported, too.
    return RoundSettings.model_validate({**chosen, "margin_region": 1.0, "deadline_s": 86_400, "reply_s": 86_400})


def _liars(honest: Mapping[str, RegionClient], count: int) -> dict[str, RegionClient]:
    attacks = list(ATTACKS.values())
    names = sorted(honest)[:: max(1, len(honest) // max(1, count))][:count]
    return {name: HostileRegion(honest[name], attacks[i % len(attacks)]) for i, name in enumerate(names)}


def _simulated(
    name: str,
    start: ServedModel,
    regions: Mapping[str, RegionClient],
    settings: RoundSettings,
    test_set: Labelled,
    cache: Path,
) -> dict[str, float]:
    network = FlowerNetwork(LocalGrid(regions))
    result = run_round(network, settings, start.spec, start.weights, start.threshold, round_id=name)
    after = ServedModel(start.spec, result.weights, result.threshold)
    return {
        f"{name}.f1": judged(after, test_set, cache).f1,
        f"{name}.accepted": float(result.accepted),
        f"{name}.participants": float(len(result.participants)),
        f"{name}.refusals": float(len(result.refusals)),
    }


def _sum(cells: Sequence[Confusion]) -> Confusion:
    return Confusion(*np.sum([astuple(c) for c in cells], axis=0).tolist())


FEDERATE_IOTDB = Scenario(
    "federate-iotdb",
    "Six IoTDB nodes as six regions: federated, each alone, central; judged on scenarios left out",
    federate_iotdb,
    {f"{way}.f1": Target(tolerance=0.03) for way in ("federated", "local", "central")},
    detectors=("bert_cnn",),
)

FEDERATE_SIMULATED = Scenario(
    "federate-simulated",
    "A hundred virtual regions with unlike windows, every strategy, with and without hostile regions",
    federate_simulated,
    {"fedavg.f1": Target(tolerance=0.03), "fedavg.hostile.f1": Target(tolerance=0.05)},
    detectors=("bert_cnn",),
)
