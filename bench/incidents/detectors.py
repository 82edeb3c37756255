"""The detectors under test, by name."""

import importlib
from collections.abc import Iterable, Mapping

from bench.harness import BenchError
from bench.incidents.base import IncidentDetector
from engine.findings.registry import DETECTORS as FINDERS

OURS = "scan"
"""The product under test; its figures are the scenario's own."""
SCRIPT = "script"
"""The peer that must be beaten on every log."""
DETECTORS: Mapping[str, str] = {
    OURS: "bench.incidents.product_scan:SCAN",
    **{f"{OURS}_{name}": f"bench.incidents.product_scan:{name.upper()}" for name in FINDERS},
    SCRIPT: "bench.incidents.peer_script:SCRIPT",
    "drain3_rate": "bench.incidents.peer_script:DRAIN3_RATE",
    "event_counts": "bench.incidents.peer_event_counts:EVENT_COUNTS",
    "half_space_trees": "bench.incidents.peer_half_space:HALF_SPACE_TREES",
}
"""Detector by name, as `module:NAME`; imported when it is asked for."""


def chosen(names: Iterable[str]) -> dict[str, IncidentDetector]:
    """The detectors with these names.

    Raises:
        BenchError: a name is not in `DETECTORS`.
    """
    unknown = [name for name in names if name not in DETECTORS]
    if unknown:
        raise BenchError(f"no detector {', '.join(unknown)}; known are: {', '.join(DETECTORS)}")
    return {name: _load(DETECTORS[name]) for name in names}


def _load(place: str) -> IncidentDetector:
    module, _, name = place.partition(":")
    detector: IncidentDetector = getattr(importlib.import_module(module), name)
    return detector
