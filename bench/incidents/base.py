"""The records of the incident benchmark, and the contract of a detector under test.

A *background* is one ordinary log in its own order. Its first part is the `past`, the rest is
`now`. A *case* is a background whose `now` holds one injected incident, or none. A detector is given
lines only and answers with ranked alerts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.incidents.recipes import Recipe, Saying
from bench.incidents.stamps import Stamp

Group = Literal["stationary", "daily", "real"]


@dataclass(frozen=True, slots=True)
class System:
    """The program that wrote a log: how its lines look, and how it reports each kind of incident.

    Attributes:
        stamp: Where a line holds its time.
        write: A line for a saying at a time (seconds since the epoch, UTC).
        recipes: By kind of incident, those that this log can show.
        missing: By kind of incident, why this log cannot show it.
    """

    stamp: Stamp
    write: Callable[[Random, float, Saying], str]
    recipes: Mapping[str, Recipe]
    missing: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Background:
    """One ordinary log in its own order.

    Attributes:
        name: As on the command line.
        group: Generated with constant rates, generated with a daily rhythm, or a real public log.
        lines: Without line ends.
        times: float64 (n,): seconds since the epoch, never decreasing.
        cut: Lines of the past; at least 1, fewer than all.
        system: How its lines look.
    """

    name: str
    group: Group
    lines: tuple[str, ...]
    times: NDArray[np.float64]
    cut: int
    system: System

    @property
    def past(self) -> tuple[str, ...]:
        """The lines that a detector learns on."""
        return self.lines[: self.cut]


@dataclass(frozen=True, slots=True)
class IncidentCase:
    """A log to be judged, and where its incident is.

    Attributes:
        background: The log, whose past is the case's past.
        kind: Kind of incident, or "none".
        size: 0 (small), 1 (medium) or 2 (large).
        place: 0 to 4, from the beginning of `now` to its end.
        seed: Decides the values of the injected lines.
        now: Lines with the incident, in time order.
        times: float64 (len(now),): their times.
        incident: bool (len(now),): True for every row on which an alert would be right.
        source: int64 (len(now),): the row of `now` without an incident, -1 for an inserted line.
    """

    background: Background
    kind: str
    size: int
    place: int
    seed: int
    now: tuple[str, ...]
    times: NDArray[np.float64]
    incident: NDArray[np.bool_]
    source: NDArray[np.int64]

    @property
    def name(self) -> str:
        """Background, kind, size, place and seed, joined by slashes."""
        return f"{self.background.name}/{self.kind}/{self.size}/{self.place}/{self.seed}"


@dataclass(frozen=True, slots=True)
class DetectorAlert:
    """One alert of a detector.

    Attributes:
        rows: The rows of `now` that it points to in the end, at least one, in ascending order.
        raised: The last row that the detector had to read to raise it; later rows may have been added.
        strength: Higher is stronger; only the order within one run matters.
        about: What it is about, for example a template's text; "" where a detector cannot say.
        reason: For people.
        also: Further things that it lists, each as an alert of its own.
    """

    rows: Sequence[int]
    raised: int
    strength: float
    about: str
    reason: str
    also: "tuple[DetectorAlert, ...]" = ()

    @property
    def parts(self) -> "tuple[DetectorAlert, ...]":
        """Everything that it lists, the main thing first."""
        return (self, *self.also)


class Watch(Protocol):
    """What a detector knows after the past."""

    def watch(self, now: Sequence[str]) -> list[DetectorAlert]:
        """Read the lines of one case in order and return the alerts; every call starts from the past."""


class IncidentDetector(Protocol):
    """A detector under test."""

    def learn(self, past: Sequence[str]) -> Watch:
        """Read the past in order."""
