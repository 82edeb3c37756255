"""Compiled loops of the parser, stored together; see `foundation.jit`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

from foundation import jit
from foundation.jit import loop

CONSTANTS_FROM = ("base", "timestamps", "zone_offsets")
"""Modules of `engine.formats` that define constants of the loops: Numba puts their values into the code."""


def entry(function: Callable[..., Any]) -> Any:
    """Compiles a function that Python calls, and stores it with all that it calls."""
    return jit.stored(function, cache_folder())


@cache
def cache_folder() -> Path:
    """Where the compiled code of the parser lies."""
    here = Path(__file__).parent
    return jit.folder_for(
        [*sorted(here.glob("*.py")), *(here.parent / "formats" / f"{name}.py" for name in CONSTANTS_FROM)]
    )


def compiling(what: str) -> AbstractContextManager[bool]:
    """Reports what is compiled within the block, see `foundation.jit.compiling`."""
    return jit.compiling(what, cache_folder(), "half a minute")


__all__ = ["CONSTANTS_FROM", "cache_folder", "compiling", "entry", "loop"]
