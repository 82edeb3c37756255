"""Compiled loops of the connectors, stored together; see `foundation.jit`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

from foundation import jit
from foundation.jit import loop


def entry(function: Callable[..., Any]) -> Any:
    """Compiles a function that Python calls, and stores it with all that it calls."""
    return jit.stored(function, cache_folder())


@cache
def cache_folder() -> Path:
    """Where the compiled code lies."""
    return jit.folder_for(sorted(Path(__file__).parent.glob("*.py")))


def compiling(what: str) -> AbstractContextManager[bool]:
    """Reports what is compiled within the block, see `foundation.jit.compiling`."""
    return jit.compiling(what, cache_folder(), "a few seconds")


__all__ = ["cache_folder", "compiling", "entry", "loop"]
