"""Compiled loops of the detectors, stored together; see `foundation.jit`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

from foundation import jit
from foundation.jit import loop

SOURCES = ("loops", "block_loops", "count_loops", "number_loops", "value_loops")
"""Modules that hold the loops."""

# To mypy an entry of an array is an object of numpy's, of which no sum is an `int`.
Int = Any
Float = Any
Bytes = Any
Flag = Any
Ints = Any
Floats = Any


def entry(function: Callable[..., Any]) -> Any:
    """Compiles a function that Python calls, and stores it with all that it calls."""
    return jit.stored(function, cache_folder())


@cache
def cache_folder() -> Path:
    """Where the compiled code lies."""
    return jit.folder_for([Path(__file__).with_name(f"{name}.py") for name in SOURCES])


def compiling() -> AbstractContextManager[bool]:
    """Reports what is compiled within the block, see `foundation.jit.compiling`."""
    return jit.compiling("detectors of findings", cache_folder(), "ten seconds")


__all__ = ["Bytes", "Flag", "Float", "Floats", "Int", "Ints", "cache_folder", "compiling", "entry", "loop"]
