"""Window: lines of the same session, stretch or span of time become the rows that are scored.

The contract is in `engine.windows.window_base`; each kind of window is a file of its own.
"""

from typing import Annotated

from pydantic import Field

from engine.clock import Clock
from engine.windows.sessions import GrowthSteps, SessionWindower, SessionWindows
from engine.windows.sliding import SlidingWindower, SlidingWindows
from engine.windows.timewindow import TimeWindower, TimeWindows
from engine.windows.window_base import LateLine, WindowCounters, Windowed, Windower, WindowStateError

WindowSettings = Annotated[SessionWindows | SlidingWindows | TimeWindows, Field(discriminator="kind")]
"""The settings of one kind of window, selected by `kind`."""


def build_windower(settings: WindowSettings, clock: Clock, state: bytes | None = None) -> Windower:
    """The windower for the settings, going on from `state` (what `Windower.snapshot` gave) if there is one.

    Raises:
        WindowStateError: the state is damaged, or its windows were cut by other settings.
    """
    if isinstance(settings, SessionWindows):
        return SessionWindower(settings, clock, state)
    if isinstance(settings, SlidingWindows):
        return SlidingWindower(settings, clock, state)
    return TimeWindower(settings, clock, state)


__all__ = [
    "GrowthSteps",
    "LateLine",
    "SessionWindows",
    "SlidingWindows",
    "TimeWindows",
    "WindowCounters",
    "WindowSettings",
    "WindowStateError",
    "Windowed",
    "Windower",
    "build_windower",
]
