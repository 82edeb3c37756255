"""Writes an incident into the `now` of a background, in time order and decided by the seed alone."""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import numpy as np
from numpy.typing import NDArray

from bench.harness import BenchError
from bench.incidents.base import Background, IncidentCase
from bench.incidents.kinds import KINDS, NONE, PLACES, IncidentKind
from bench.incidents.recipes import Edit, Insert, Recipe, Repeat, SayingValues, Stop

JITTER = 0.02
"""A place moves by up to this share of `now`, so that no detector is tuned to five rows."""
LONG_ID, DIGITS, LETTERS = re.compile(r"(?<![a-z])(?=[a-f]*\d)[0-9a-f]{10,}(?![a-z])"), "0123456789", "abcdef"
GRACE_TICKS = 1
"""How long after a silence an alert still counts, in periods of the line that stopped."""


@dataclass(slots=True)
class _Changes:
    """What an incident does to `now`, by row of `now` without it."""

    inserted: list[tuple[int, float, str]] = field(default_factory=list)
    edited: dict[int, str] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    silent: tuple[float, float] | None = None


def free_case(background: Background) -> IncidentCase:
    """The background as it is."""
    now = background.lines[background.cut :]
    rows = np.arange(len(now), dtype=np.int64)
    times = background.times[background.cut :]
    return IncidentCase(background, NONE, 0, 0, 0, now, times, np.zeros(len(now), bool), rows)


def make_case(background: Background, kind: str, size: int, place: int, seed: int) -> IncidentCase:
    """The background with one incident.

    Raises:
        BenchError: the background cannot show that kind; the message says why.
    """
    if kind not in KINDS:
        raise BenchError(f"no kind of incident {kind!r}; known are: {', '.join(KINDS)}")
    recipe = background.system.recipes.get(kind)
    if recipe is None:
        reason = background.system.missing.get(kind, "it is not described")
        raise BenchError(f"{background.name} has no {kind}: {reason}")
    name = f"{background.name}/{kind}/{size}/{place}/{seed}"
    rng = Random(zlib.crc32(name.encode()))
    changes = _WAYS[type(recipe)](_Site(background, KINDS[kind], size, place, rng), recipe)
    return _apply(background, changes, (kind, size, place, seed))


class _Site:
    """Where and how strongly an incident happens: shared by the four ways."""

    def __init__(self, background: Background, kind: IncidentKind, size: int, place: int, rng: Random) -> None:
        self.background, self.kind, self.rng = background, kind, rng
        self.count, self.factor = kind.counts[size], kind.factors[size]
        self.now = background.lines[background.cut :]
        self.times = background.times[background.cut :]
        share = PLACES[place] + rng.uniform(-JITTER, JITTER)
        self.start = round(share * len(self.now))

    def slots(self) -> list[tuple[int, float]]:
        """A row after which each event happens, and its time, in time order."""
        rows = len(self.now)
        span = round(self.kind.share * rows) if self.kind.share else round(self.count * self.kind.gap)
        span = max(min(span, rows // 2), 1)
        start = max(min(self.start, rows - span - 2), 0)
        # A leak speeds up: the square root of a uniform draw has a density that rises linearly.
        draw: Callable[[], float] = (lambda: self.rng.random() ** 0.5) if self.kind.share else self.rng.random
        slots = []
        for _ in range(self.count):
            row = start + int(draw() * span)
            low, high = self.times[row], self.times[row + 1]
            slots.append((row, float(low + self.rng.random() * (high - low))))
        return sorted(slots)

    def following(self, pattern_rows: list[int], count: int, what: str) -> list[int]:
        """`count` of the matching rows from the place on, earlier ones where the log ends too soon."""
        if not pattern_rows:
            raise BenchError(f"{self.background.name} has no line for {what} in its last part")
        count = min(count, max(len(pattern_rows) - 1, 1))
        at = int(np.searchsorted(pattern_rows, self.start))
        at = max(min(at, len(pattern_rows) - count), 0)
        return pattern_rows[at : at + count]


def _insert(site: _Site, recipe: Recipe) -> _Changes:
    assert isinstance(recipe, Insert)
    values, write = SayingValues(site.rng), site.background.system.write
    changes = _Changes()
    for row, time in site.slots():
        event = site.rng.choice(recipe.events)
        limit = float(site.times[row + 1])
        for number, saying in enumerate(event):
            at = min(time + 0.01 * number, limit)
            filled = type(saying)(values.fill(saying.text), saying.level, values.fill(saying.source), saying.fields)
            changes.inserted.append((row, at, write(site.rng, at, filled)))
    return changes


def _repeat(site: _Site, recipe: Recipe) -> _Changes:
    assert isinstance(recipe, Repeat)
    known = [line for line in site.background.past if recipe.pattern.search(line)]
    if not known:
        raise BenchError(f"no line of the past of {site.background.name} matches {recipe.pattern.pattern!r}")
    changes, stamp = _Changes(), site.background.system.stamp
    for row, time in site.slots():
        line = stamp.move(_fresh_ids(site.rng, recipe.change(site.rng, site.rng.choice(known))), time)
        changes.inserted.append((row, time, line))
    return changes


def _fresh_ids(rng: Random, line: str) -> str:
    """The line with other long numbers and hexadecimal words, so that a copy is not an exact repetition."""

    def fresh(match: re.Match[str]) -> str:
        return "".join(rng.choice(DIGITS if char in DIGITS else LETTERS) for char in match[0])

    return LONG_ID.sub(fresh, line)


def _edit(site: _Site, recipe: Recipe) -> _Changes:
    assert isinstance(recipe, Edit)
    rows = [row for row, line in enumerate(site.now) if recipe.pattern.search(line)]
    changes = _Changes()
    for row in site.following(rows, min(site.count, len(rows) // 2), "this kind"):
        match = recipe.pattern.search(site.now[row])
        assert match is not None
        head, tail = site.now[row][: match.start()], site.now[row][match.end() :]
        changes.edited[row] = head + recipe.change(site.rng, match, site.factor) + tail
    return changes


def _silence(site: _Site, recipe: Recipe) -> _Changes:
    assert isinstance(recipe, Stop)
    rows = [row for row, line in enumerate(site.now) if recipe.pattern.search(line)]
    gone = site.following(rows, site.count, "a heartbeat")
    period = float(np.median(np.diff(site.times[rows])))
    until = float(site.times[gone[-1]]) + (1 + GRACE_TICKS) * period
    return _Changes(removed=set(gone), silent=(float(site.times[gone[0]]), until))


_WAYS: dict[type, Callable[[_Site, Recipe], _Changes]] = {
    Insert: _insert,
    Repeat: _repeat,
    Edit: _edit,
    Stop: _silence,
}


def _apply(background: Background, changes: _Changes, what: tuple[str, int, int, int]) -> IncidentCase:
    """`now` with the changes, inserted lines after their row and in time order."""
    now, times = background.lines[background.cut :], background.times[background.cut :]
    after: dict[int, list[tuple[float, str]]] = {}
    for row, time, line in sorted(changes.inserted, key=lambda item: item[:2]):
        after.setdefault(row, []).append((time, line))
    lines: list[str] = []
    clock: list[float] = []
    bad: list[bool] = []
    source: list[int] = []
    for row, line in enumerate(now):
        if row not in changes.removed:
            lines.append(changes.edited.get(row, line))
            clock.append(float(times[row]))
            bad.append(row in changes.edited)
            source.append(row)
        for time, new in after.get(row, ()):
            lines.append(new)
            clock.append(time)
            bad.append(True)
            source.append(-1)
    incident: NDArray[np.bool_] = np.array(bad)
    seconds = np.array(clock)
    if changes.silent is not None:
        incident |= (seconds >= changes.silent[0]) & (seconds <= changes.silent[1])
    return IncidentCase(background, *what, tuple(lines), seconds, incident, np.array(source, np.int64))
