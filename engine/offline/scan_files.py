"""Which files of a scan are one log."""

import os
from collections.abc import Sequence
from pathlib import Path

from connectors.rotations import base_name
from engine.offline.inputs import STANDARD_INPUT
from engine.offline.scan import Input


def inputs_of(now: Sequence[str], past: Sequence[str]) -> list[Input]:
    """The files of a scan in the order in which they are read: those of the baseline first.

    Args:
        now: The files to be scanned, see `engine.offline.inputs.find_logs`.
        past: Those of the baseline.
    """
    sources = {file: _source(file) for file in now}
    names = set(sources.values())
    learnt: dict[str, str] = {}
    for file in past:
        name = _source(file)
        alike = [n for n in names if os.path.basename(n) == os.path.basename(name)]
        # One log and one baseline belong together, regardless of their names.
        match = alike or (list(names) if len(names) == 1 else [])
        learnt[file] = match[0] if match else name
    found = [Input(file, learnt[file], _size(file), learn=True) for file in past]
    return found + [Input(file, sources[file], _size(file)) for file in now]


def _source(file: str) -> str:
    return "standard input" if file == STANDARD_INPUT else base_name(file)


def _size(file: str) -> int:
    return 0 if file == STANDARD_INPUT else Path(file).stat().st_size
