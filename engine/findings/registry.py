"""The registry of detectors of what single templates do; `engine.findings.base` has their contract."""

from collections.abc import Callable, Mapping

from engine.findings.base import Detector, State
from engine.findings.levels import LevelShift
from engine.findings.nodes import OddNodes
from engine.findings.novelty import Novelty
from engine.findings.rates import Rates
from engine.findings.silence import Silence
from engine.findings.values import ValueShifts

DETECTORS: Mapping[str, Callable[[State | None], Detector]] = {
    "novelty": Novelty,
    "rates": Rates,
    "silence": Silence,
    "values": ValueShifts,
    "levels": LevelShift,
    "nodes": OddNodes,
}


def build_detectors(states: Mapping[str, State] | None = None) -> list[Detector]:
    """All detectors, in order; each continues from its state where it has one."""
    saved = states or {}
    return [build(saved.get(name)) for name, build in DETECTORS.items()]
