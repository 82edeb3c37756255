"""The promises of a drift statistic as checks: one function a promise, run over every entry of the registry."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from engine.drift.base import Floats, Setup, Statistic
from engine.drift.blocks import Blocks, Pending
from engine.drift.registry import build
from engine.drift.settings import DriftSettings
from engine.drift.template_counts import TemplateColumns
from foundation import plain_pickle
from models.base import Windows

SETTINGS = DriftSettings(block_windows=100, warmup_blocks=20, current_blocks=3)
_USUAL = ((1, 2, 3), (1, 3), (1, 2, 2, 3), (4, 1))
_OTHER = ((1, 5, 3), (5, 6), (6, 6, 5, 2), (4, 5))


def _encode(start: int, stop: int) -> NDArray[np.float32]:
    """Vectors of templates; each is independent of the others in the same call."""
    rows = [np.random.default_rng(i).standard_normal(8) for i in range(start, stop)]
    return np.array(rows, np.float32).reshape(-1, 8)


def _setup() -> Setup:
    return Setup(SETTINGS, _encode)


def _stream(blocks: int, changed_from: int, score: Callable[[int], float] | None = None) -> Blocks:
    """Blocks of made-up windows whose templates and scores change at a block."""
    rng = np.random.default_rng(7)
    n = blocks * SETTINGS.block_windows
    later = np.arange(n) >= changed_from * SETTINGS.block_windows
    rows = [(_OTHER if late else _USUAL)[int(kind)] for late, kind in zip(later, rng.integers(0, 4, n), strict=True)]
    scores = (rng.beta(1, 20, n) + 0.4 * later).astype(np.float32)
    if score is not None:
        scores[later] = [score(i) for i in range(int(later.sum()))]
    pending = Pending(SETTINGS.block_windows, TemplateColumns({i: f"template {i}" for i in range(10)}))
    pending.add(Windows.of(rows), scores, np.arange(n, dtype=np.int64), 0.5)
    found = pending.full(0.5)
    assert found is not None
    return found


def _pieces(blocks: Blocks, cuts: tuple[int, ...]) -> Iterator[Blocks]:
    places = (0, *cuts, len(blocks))
    for start, stop in itertools.pairwise(places):
        if stop > start:
            yield blocks.part(start, stop)


def _values(statistic: Statistic, pieces: Iterator[Blocks]) -> Floats:
    return np.round(np.concatenate([statistic.update(piece) for piece in pieces]), 9)


def _warm(name: str, blocks: Blocks) -> tuple[Statistic, Blocks]:
    """A statistic that learnt its reference, and the blocks that are left."""
    statistic = build(name, _setup())
    assert (statistic.update(blocks.part(0, SETTINGS.warmup_blocks)) == 0).all()
    return statistic, blocks.part(SETTINGS.warmup_blocks, len(blocks))


def check_values_are_finite_and_have_a_limit(name: str) -> None:
    """A value for each block, none of them negative, and a limit that is at least the floor."""
    statistic, rest = _warm(name, _stream(40, 25))
    values = statistic.update(rest)
    assert values.shape == (len(rest),)
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert np.isfinite(statistic.limit)
    assert statistic.limit >= SETTINGS.floor(name)


def check_calls_do_not_matter(name: str) -> None:
    """Blocks one by one give the same values as all at once."""
    blocks = _stream(60, 35)
    expected = _values(build(name, _setup()), iter([blocks]))
    for cuts in (tuple(range(1, 60)), (3, 9, 21, 40)):
        assert (_values(build(name, _setup()), _pieces(blocks, cuts)) == expected).all()


def check_state_round_trips_anywhere(name: str) -> None:
    """A statistic restored from a pickled state continues as the first would, in the reference and behind it."""
    blocks = _stream(60, 35)
    expected = _values(build(name, _setup()), iter([blocks]))
    for stop in (1, 5, SETTINGS.first_blocks, SETTINGS.warmup_blocks, 24, 36, 50):
        first, second = build(name, _setup()), build(name, _setup())
        before = _values(first, iter([blocks.part(0, stop)]))
        second.restore(plain_pickle.load(plain_pickle.dump(first.state())))
        after = _values(second, iter([blocks.part(stop, 60)]))
        assert (np.concatenate([before, after]) == expected).all()


def check_the_warm_up_is_honest(name: str) -> None:
    """No value before the reference is long enough, and `progress` reports how far it is."""
    statistic, blocks = build(name, _setup()), _stream(30, 2)
    for i in range(len(blocks)):
        needed = statistic.progress.needed
        assert statistic.progress.ready == (statistic.progress.blocks >= needed)
        if not statistic.progress.ready:
            assert statistic.progress.blocks == i
            assert statistic.update(blocks.part(i, i + 1)).tolist() == [0.0]


def check_a_state_does_not_change_later(name: str) -> None:
    """What `state` returned stays as it is while the statistic continues."""
    statistic, rest = _warm(name, _stream(40, 25))
    statistic.update(rest.part(0, 5))
    state = statistic.state()
    frozen = plain_pickle.dump(state)
    statistic.update(rest.part(5, len(rest)))
    assert plain_pickle.dump(state) == frozen


def check_nan_never_enters(name: str) -> None:
    """Scores that are not finite neither make a value infinite nor make the statistic blind."""
    blocks = _stream(60, 50, score=lambda i: float("nan") if i < 40 else 0.9)
    statistic, rest = _warm(name, blocks)
    values = statistic.update(rest)
    assert np.isfinite(values).all()
    assert np.isfinite(statistic.limit)


def check_memory_is_bounded(name: str) -> None:
    """A long stream leaves a state about as large as a short one."""
    statistic, blocks = build(name, _setup()), _stream(60, 60)
    for _ in range(6):
        statistic.update(blocks)
    short = len(plain_pickle.dump(statistic.state()))
    for _ in range(60):
        statistic.update(blocks)
    assert len(plain_pickle.dump(statistic.state())) <= short + 32_768


def check_a_calm_stream_stays_below_the_limit(name: str) -> None:
    """A stream that does not change reaches the limit in no three blocks in a row, which would confirm drift."""
    statistic, rest = _warm(name, _stream(80, 80))
    values = statistic.update(rest)
    reached = values >= statistic.limit
    assert not (reached[2:] & reached[1:-1] & reached[:-2]).any()


CHECKS = (
    check_values_are_finite_and_have_a_limit,
    check_calls_do_not_matter,
    check_state_round_trips_anywhere,
    check_the_warm_up_is_honest,
    check_a_state_does_not_change_later,
    check_nan_never_enters,
    check_memory_is_bounded,
    check_a_calm_stream_stays_below_the_limit,
)
