"""One source's lines → findings: blocks, detectors, calibration and grouping in one object."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.findings.base import Block, Signal, State
from engine.findings.blocks import Blocker
from engine.findings.compile_loops import compile_loops
from engine.findings.lines import ColumnReader, is_measure
from engine.findings.registry import build_detectors
from engine.findings.tails import Calibrator
from engine.findings.volume import Volume
from engine.parsing.parsed import Parsed


@dataclass(frozen=True, slots=True)
class Judged:
    """A block and its signals; `surprise` of each is calibrated."""

    block: Block
    signals: tuple[Signal, ...]


class Finder:
    """See the module.

    Attributes:
        reader: Numbers of templates, hosts and values.
        blocks: Blocks judged so far, in units of today's block size.
    """

    def __init__(self, state: State | None = None) -> None:
        compile_loops()
        saved = state or {}
        self.reader = ColumnReader(saved.get("reader"))
        self._blocker = Blocker(self.reader.sample, saved.get("blocker"))
        self._detectors = build_detectors(saved.get("detectors"))
        kept = saved.get("calibrators", {})
        self._calibrators = {d.name: Calibrator(kept.get(d.name)) for d in self._detectors if not d.calibrated}
        self.blocks: int = saved.get("blocks", 0)

    @property
    def open_lines(self) -> int:
        """Lines that wait for their block to be complete."""
        return self._blocker.open

    @property
    def block_lines(self) -> int:
        """Lines of a block."""
        return self._blocker.size

    def add(self, parsed: Parsed) -> Iterator[Judged]:
        """The blocks that these lines complete."""
        if len(parsed):
            for block in self._blocker.add(self.reader.read(parsed)):
                yield self._judge(block)

    def finish(self) -> Iterator[Judged]:
        """The block of the last lines."""
        for block in self._blocker.finish():
            yield self._judge(block)

    def stopped(self, seconds: float) -> tuple[Signal, ...]:
        """What is unusual in a source that has shown no line for this time, with calibrated surprise."""
        calibrator = self._calibrators[Volume.name]
        found: list[Signal] = []
        for detector in self._detectors:
            if isinstance(detector, Volume):
                found += detector.stopped(seconds)
        return tuple(replace(s, surprise=calibrator.calibrated(s.surprise, _about(s))) for s in found)

    def _judge(self, block: Block) -> Judged:
        signals: list[Signal] = []
        for detector in self._detectors:
            found = list(detector.observe(block, self.reader.table))
            calibrator = self._calibrators.get(detector.name)
            if calibrator is not None:
                found = _calibrated(found, calibrator)
            signals += [self._named(s) for s in found if s.surprise > 0]
        self.blocks += 1
        if self._blocker.must_coarsen():
            self.blocks //= 2
            for detector in self._detectors:
                detector.coarsen()
        return Judged(block, tuple(signals))

    def _named(self, signal: Signal) -> Signal:
        """Add the template that a number is in, which the detector of numbers does not have."""
        if signal.kind != "value":
            return signal
        key, name = self.reader.slots[int(signal.note["slot"])]
        return replace(signal, key=key, note={**signal.note, "measure": is_measure(name)})

    def births(self) -> NDArray[np.int64]:
        """int64: numbers of the lines that brought a new template, ascending."""
        return np.sort(np.fromiter((t.first_row for t in self.reader.table.all), np.int64, len(self.reader.table)))

    def snapshot(self) -> State:
        """The state, from which the constructor continues."""
        return {
            "reader": self.reader.snapshot(), "blocker": self._blocker.snapshot(), "blocks": self.blocks,
            "detectors": {d.name: d.snapshot() for d in self._detectors},
            "calibrators": {name: c.snapshot() for name, c in self._calibrators.items()},
        }  # fmt: skip


def _about(signal: Signal) -> Hashable:
    return signal.key, signal.node, signal.note.get("slot")


def _calibrated(found: list[Signal], calibrator: Calibrator) -> list[Signal]:
    """The signals of one detector in one block with calibrated surprise; the calibrator learns them."""
    highest: dict[Hashable, float] = {}
    calibrated = []
    for signal in found:
        about = _about(signal)
        calibrated.append(replace(signal, surprise=calibrator.calibrated(signal.surprise, about)))
        # A state that lasts over many blocks is one event, and is learnt when it has ended.
        if not signal.note.get("open"):
            highest[about] = max(signal.surprise, highest.get(about, 0.0))
    calibrator.learn(highest)
    return calibrated
