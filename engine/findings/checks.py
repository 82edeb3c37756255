"""The promises of a detector of what single templates do, one function each; tests run every one over every entry.

A check takes `make`, which builds the detector, and raises AssertionError where the promise is broken.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.findings.base import Block, LineColumns, Signal, State, StreamDetector, Values
from engine.findings.blocks import join, part_of
from foundation import plain_pickle

Make = Callable[[State | None], StreamDetector]
TEMPLATES = 12
LINES = 50


class SomeTemplates:
    """Templates that are all alike."""

    def __init__(self, count: int = TEMPLATES + 4) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def weight(self, keys: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """See `engine.findings.base.TemplateLookup`."""
        return np.ones(len(keys))

    def severity(self, key: int) -> float:
        """See `engine.findings.base.TemplateLookup`."""
        return 1.0

    def status(self, keys: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """See `engine.findings.base.TemplateLookup`."""
        return np.zeros(len(keys), np.int64)

    def strangeness(self, key: int) -> float:
        """See `engine.findings.base.TemplateLookup`."""
        return 0.5


def stationary(count: int, seed: int = 0, *, first: int = 0) -> list[Block]:
    """Blocks of lines whose templates, hosts, levels and numbers come at constant rates, independent of each other."""
    rng = np.random.default_rng(seed)
    shares = 1.0 / np.arange(1, TEMPLATES + 1)
    blocks, clock = [], 1_700_000_000 * 10**9
    for number in range(first, first + count):
        times = clock + np.cumsum(rng.exponential(2.0, LINES) * 1e9).astype(np.int64)
        key = rng.choice(TEMPLATES, LINES, p=shares / shares.sum()).astype(np.int32)
        row = np.arange(number * LINES, (number + 1) * LINES)
        values = Values(row, key, rng.lognormal(3.0, 0.5, LINES))
        level = np.where(rng.random(LINES) < 0.05, 5, 3).astype(np.int8)
        node, session = rng.integers(1, 5, LINES).astype(np.int32), rng.integers(1, 9, LINES)
        lines = LineColumns(row, times, key, level, node, session, values)
        blocks.append(Block(number, lines, (int(times[-1]) - clock) / 1e9))
        clock = int(times[-1])
    return blocks


def run(detector: StreamDetector, blocks: Sequence[Block]) -> list[Signal]:
    """All signals of a detector over blocks."""
    return [signal for block in blocks for signal in detector.observe(block, SomeTemplates())]


def check_surprises_are_finite(make: Make) -> None:
    """Every surprise is a finite number, also where a block has one line, one time or one template."""
    blocks = stationary(60)
    odd = blocks[-1].lines
    still = replace(odd, time_ns=np.full_like(odd.time_ns, odd.time_ns[0]))
    single = part_of(odd, 0, 1, Values.none())
    signals = run(make(None), [*blocks[:-1], Block(59, still, 0.0), Block(60, single, 0.0)])
    assert all(math.isfinite(signal.surprise) for signal in signals)
    assert all(signal.first <= signal.last and signal.first_ns <= signal.last_ns for signal in signals)


def check_state_round_trips(make: Make) -> None:
    """A detector that continues from a snapshot in mid-stream finds what one without a pause finds."""
    blocks = stationary(120, seed=1)
    whole = run(make(None), blocks)
    first = make(None)
    before = run(first, blocks[:70])
    state = plain_pickle.load(plain_pickle.dump(first.snapshot()))
    run(first, blocks[70:])  # the snapshot is plain data that nothing changes later
    assert before + run(make(state), blocks[70:]) == whole


def check_repeats_exactly(make: Make) -> None:
    """The same blocks give the same signals."""
    assert run(make(None), stationary(80, seed=2)) == run(make(None), stationary(80, seed=2))


def check_input_is_untouched(make: Make) -> None:
    """A detector changes no column."""
    blocks = stationary(40, seed=3)
    before = plain_pickle.dump([block.lines for block in blocks])
    run(make(None), blocks)
    assert plain_pickle.dump([block.lines for block in blocks]) == before


def check_memory_is_bounded(make: Make) -> None:
    """The state does not grow with the number of lines."""
    detector = make(None)
    run(detector, stationary(200, seed=4))
    half = len(plain_pickle.dump(detector.snapshot()))
    run(detector, stationary(200, seed=5, first=200))
    assert len(plain_pickle.dump(detector.snapshot())) <= 1.1 * half


def check_chances_are_honest(make: Make) -> None:
    """On stationary lines a surprise of x comes in at most about e^-x of the blocks."""
    detector = make(None)
    run(detector, stationary(200, seed=6))
    blocks = stationary(600, seed=7, first=200)
    highest = [max((s.surprise for s in run(detector, [block])), default=0.0) for block in blocks]
    for limit in (2.0, 4.0, 6.0):
        expected = len(blocks) * math.exp(-limit)
        assert sum(h >= limit for h in highest) <= expected + 4 * math.sqrt(expected) + 2


def check_coarser_blocks_keep_history(make: Make) -> None:
    """After blocks have doubled, stationary lines are no more surprising than before."""
    detector = make(None)
    run(detector, stationary(200, seed=8))
    detector.coarsen()
    fine = stationary(200, seed=9, first=200)
    pairs = [_merged(number, a, b) for number, (a, b) in enumerate(zip(fine[::2], fine[1::2], strict=True), start=100)]
    highest = [max((s.surprise for s in run(detector, [block])), default=0.0) for block in pairs]
    assert sum(h >= 6.0 for h in highest) <= 2


def _merged(number: int, a: Block, b: Block) -> Block:
    return Block(number, join([a.lines, b.lines]), a.span_s + b.span_s)


CHECKS: tuple[Callable[[Make], None], ...] = (
    check_surprises_are_finite,
    check_state_round_trips,
    check_repeats_exactly,
    check_input_is_untouched,
    check_memory_is_bounded,
    check_chances_are_honest,
    check_coarser_blocks_keep_history,
)
