"""The registry of detectors of what single templates do; `engine.findings.base` has their contract."""

from collections.abc import Callable, Mapping

from engine.findings.base import State, StreamDetector
from engine.findings.levels import LevelShift
from engine.findings.nodes import OddNodes
from engine.findings.novelty import NewTemplates
from engine.findings.order import SessionOrder
from engine.findings.rates import Rates
from engine.findings.season import Season
from engine.findings.silence import Silence
from engine.findings.values import ValueShifts
from engine.findings.volume import Volume

DETECTORS: Mapping[str, Callable[[State | None], StreamDetector]] = {
    "novelty": NewTemplates,
    "rates": Rates,
    "silence": Silence,
    "values": ValueShifts,
    "levels": LevelShift,
    "nodes": OddNodes,
    "order": SessionOrder,
    "season": Season,
    "volume": Volume,
}


def build_detectors(states: Mapping[str, State] | None = None) -> list[StreamDetector]:
    """All detectors, in order; each continues from its state where it has one."""
    saved = states or {}
    return [build(saved.get(name)) for name, build in DETECTORS.items()]
