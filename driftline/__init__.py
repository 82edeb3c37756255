"""Driftline from Python: parse logs into Arrow tables, train and use detectors, run an engine.

The names below are the public interface; every other package of Driftline may change between versions. Each
name is imported when it is first used, so `import driftline` is quick.

Example:
    >>> import driftline
    >>> table = driftline.parse(["081109 203615 148 INFO dfs.DataNode: Receiving block blk_1 of size 91178"])
    >>> table["session"].to_pylist(), table["template"].to_pylist()
    (['blk_1'], ['Receiving block <BLK> of size <NUM>'])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from foundation.errors import DriftlineError
from foundation.version import VERSION as __version__

if TYPE_CHECKING:
    from driftline._detection import TrainedDetector, evaluate, explain, score, train
    from driftline._engine import Engine
    from driftline._lines import classify, parse
    from driftline._store import Store, open_store
    from driftline._windows import LogWindows, windows

_MODULES = {
    "Engine": "driftline._engine",
    "TrainedDetector": "driftline._detection",
    "Store": "driftline._store",
    "LogWindows": "driftline._windows",
    "classify": "driftline._lines",
    "evaluate": "driftline._detection",
    "explain": "driftline._detection",
    "open_store": "driftline._store",
    "parse": "driftline._lines",
    "score": "driftline._detection",
    "train": "driftline._detection",
    "windows": "driftline._windows",
}

__all__ = [
    "DriftlineError",
    "Engine",
    "LogWindows",
    "Store",
    "TrainedDetector",
    "__version__",
    "classify",
    "evaluate",
    "explain",
    "open_store",
    "parse",
    "score",
    "train",
    "windows",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'driftline' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
