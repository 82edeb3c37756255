"""Window: lines of the same session, stretch or span of time become the rows that are scored.

The contract is in `engine.windows.window_base`; each kind of window is a file of its own.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from engine.clock import Clock
from engine.windows.sessions import GrowthSteps, SessionWindower, SessionWindows
from engine.windows.sliding import SlidingWindower, SlidingWindows
from engine.windows.timewindow import TimeWindower, TimeWindows
from engine.windows.window_base import LateLine, WindowCounters, Windowed, Windower, WindowStateError

WindowSettings = Annotated[SessionWindows | SlidingWindows | TimeWindows, Field(discriminator="kind")]
"""The settings of one kind of window, selected by `kind`."""


def with_trained_gap(settings: WindowSettings, gap_s: float | None) -> WindowSettings:
    """The settings with the session gap that a model was trained with, unless they set a gap.

    `gap_s` is in seconds; None where the model was not trained on sessions.
    """
    if not isinstance(settings, SessionWindows) or "gap_s" in settings.model_fields_set or gap_s is None:
        return settings
    return settings.model_copy(update={"gap_s": gap_s})


def other_gap(settings: WindowSettings, gap_s: float | None) -> str:
    """A sentence if the settings set another session gap than the model was trained with; else ""."""
    if not isinstance(settings, SessionWindows) or gap_s is None or settings.gap_s == gap_s:
        return ""
    if "gap_s" not in settings.model_fields_set:
        return ""
    return (
        f"window.gap_s = {settings.gap_s:g} is set, but the model was trained on sessions with a gap of {gap_s:g} s, "
        f"so its scores and threshold may not fit; remove gap_s to use {gap_s:g}"
    )


def build_windower(
    settings: WindowSettings, clock: Clock, state: bytes | None = None, folder: Path | None = None
) -> Windower:
    """The windower for the settings, continuing from `state` (what `Windower.snapshot` returned) if there is one.

    Its snapshots keep many windows in files within `folder`, and are one piece without it.

    Raises:
        WindowStateError: the state is damaged, or its windows were cut by other settings.
    """
    if isinstance(settings, SessionWindows):
        return SessionWindower(settings, clock, state, folder)
    if isinstance(settings, SlidingWindows):
        return SlidingWindower(settings, clock, state, folder)
    return TimeWindower(settings, clock, state, folder)


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
    "other_gap",
    "with_trained_gap",
]
