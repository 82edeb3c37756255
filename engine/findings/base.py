"""The contract of detectors that watch single templates, and the records that pass between them.

Lines ─ `Blocker` ─▶ Block ─ every `StreamDetector` ─▶ Signals ─ `Calibrator`, `Grouping` ─▶ Findings

A block is a run of consecutive lines of one source. Blocks are cut by the lines alone and never by batches, so
the same lines give the same findings regardless of the batches. **A higher surprise always means more unusual.**
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.findings.block_loops import group_lines, sort_lines

State = dict[str, Any]
"""Plain data (numbers, text, lists, numpy arrays) that nothing changes later."""

NO_NODE = 0
"""Node of lines that name neither host nor thread."""
ALL_LINES = -1000
"""Key of a signal about all lines of a source together; keys of levels and statuses are closer to 0."""
ABSENT = ("silent", "fewer", "drop")
"""Kinds of signals about lines that do not come."""


@dataclass(frozen=True, slots=True)
class LineColumns:
    """Consecutive lines of one source as columns with one row each.

    Attributes:
        row: int64: number of the line in its source, ascending from 0.
        time_ns: int64: UTC ns since the epoch.
        key: int32: number of the line's template in `TemplateTable`.
        level: int8: index into `engine.formats.base.LEVEL_NAMES`.
        node: int32: number of the line's host, of its thread where it names no host, or `NO_NODE`.
        session: int64: hash of the line's session key, or `engine.records.NO_SESSION`.
        values: The sampled numbers in the lines.
    """

    row: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    key: NDArray[np.int32]
    level: NDArray[np.int8]
    node: NDArray[np.int32]
    session: NDArray[np.int64]
    values: "Values"

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Values:
    """Numbers read from some of the lines.

    Attributes:
        row: int64: number of the line.
        slot: int32: number of its place within a template.
        value: float64: finite.
    """

    row: NDArray[np.int64]
    slot: NDArray[np.int32]
    value: NDArray[np.float64]

    @staticmethod
    def none() -> "Values":
        """No numbers."""
        return Values(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0))


@dataclass(frozen=True)
class Block:
    """A run of consecutive lines, and the same lines by template.

    Attributes:
        number: How many blocks came before.
        lines: The columns, in line order.
        span_s: Seconds from the last line before the block to its last line; never negative.
    """

    number: int
    lines: LineColumns
    span_s: float

    def __len__(self) -> int:
        return len(self.lines)

    @cached_property
    def _groups(self) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        key = self.lines.key
        found = np.zeros((3, int(key.max()) + 1 if len(key) else 0), np.int64)
        group_lines(key, *found)
        keys = np.flatnonzero(found[0])
        return (keys.astype(np.int32), *found[:, keys])

    @property
    def keys(self) -> NDArray[np.int32]:
        """int32 (u,): the templates in the block, ascending."""
        return self._groups[0]

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64 (u,): lines of each of `keys`."""
        return self._groups[1]

    @property
    def first(self) -> NDArray[np.int64]:
        """int64 (u,): the first line of each of `keys`, as an index into the block."""
        return self._groups[2]

    @property
    def last(self) -> NDArray[np.int64]:
        """int64 (u,): the last line of each of `keys`, as an index into the block."""
        return self._groups[3]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """int64 (u + 1,): the lines of `keys[i]` are `order[starts[i]:starts[i + 1]]`."""
        return np.append(0, np.cumsum(self.counts))

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """int64 (n,): the lines sorted by template; of one template in line order."""
        order, places = np.empty(len(self), np.int64), np.zeros(int(self.keys[-1]) + 1 if len(self) else 0, np.int64)
        places[self.keys] = self.starts[:-1]
        sort_lines(self.lines.key, places, order)
        return order

    def index_of(self, key: int) -> NDArray[np.int64]:
        """int64: the lines of a template, as indexes into the block; empty where it has none."""
        at = int(np.searchsorted(self.keys, key))
        if at == len(self.keys) or self.keys[at] != key:
            return np.zeros(0, np.int64)
        return self.order[self.starts[at] : self.starts[at + 1]]


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing that a detector finds unusual in a block.

    Attributes:
        detector: Name of the detector.
        kind: What it is: `new`, `more`, `fewer`, `silent`, `value`, `level`, `node`, `order`, `drop`, `surge`.
        key: Number of the template; negative where it is about all lines of a level or status, or `ALL_LINES`.
        surprise: -ln of the chance that a normal block holds anything as unusual to this detector, by the
            detector's own model.
        observed, usual: How often (or how large) now, and how often it was to be expected in the same stretch.
        unit: What both count: `lines`, `lines/min`, `s` or the name of a value.
        count: Lines that show it.
        first, last: Numbers of the first and last of these lines.
        first_ns, last_ns: Their times.
        node: Number of the host or thread it is about, or `NO_NODE`.
        level: Index of the level it is about; 0 where it is about a template or a status.
        note: Further facts, such as the name of a value or the status.
    """

    detector: str
    kind: str
    key: int
    surprise: float
    observed: float
    usual: float
    count: int
    first: int
    last: int
    first_ns: int
    last_ns: int
    unit: str = "lines"
    node: int = NO_NODE
    level: int = 0
    note: Mapping[str, Any] = field(default_factory=dict)


class TemplateLookup(Protocol):
    """What detectors may ask about templates, by their numbers."""

    def __len__(self) -> int: ...

    def weight(self, keys: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """float64: how much likelier than an average one each template is to matter, by its text."""
        ...

    def severity(self, key: int) -> float:
        """0 (harmless) to 4 (a program died), by the text and level."""
        ...

    def status(self, keys: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """int64: index into `engine.formats.http_status.NAMES` of each template's HTTP status; 0 where it has none."""
        ...

    def strangeness(self, key: int) -> float:
        """0..1: share of its words that the most similar older template lacks."""
        ...


class StreamDetector(Protocol):
    """Watches one aspect of a source's blocks, in order.

    State is bounded by the number of templates, never by the number of lines.
    """

    name: ClassVar[str]
    calibrated: ClassVar[bool]
    """Whether its chances come from the source's own history, so that they need no calibration."""

    def observe(self, block: Block, templates: TemplateLookup) -> Sequence[Signal]:
        """Return what is unusual in the block compared with the blocks before it, then learn from it."""
        ...

    def coarsen(self) -> None:
        """From now on blocks have twice as many lines."""
        ...

    def snapshot(self) -> State:
        """The state, from which the constructor continues."""
        ...
