"""The detectors under test, by name."""

from collections.abc import Callable, Iterable, Mapping

from bench.harness import BenchError
from bench.incidents.base import Detector

OURS = "scan"
"""The product under test; its figures are the scenario's own."""


def _script() -> Detector:
    from bench.incidents.peer_script import Script

    return Script()


def _rate() -> Detector:
    from bench.incidents.peer_script import Script

    return Script(masked=False, new=False)


DETECTORS: Mapping[str, Callable[[], Detector]] = {
    "script": _script,
    "drain3_rate": _rate,
}


def chosen(names: Iterable[str]) -> dict[str, Detector]:
    """The detectors of these names.

    Raises:
        BenchError: one of them is not known.
    """
    unknown = [name for name in names if name not in DETECTORS]
    if unknown:
        raise BenchError(f"no detector {', '.join(unknown)}; known are: {', '.join(DETECTORS)}")
    return {name: DETECTORS[name]() for name in names}
