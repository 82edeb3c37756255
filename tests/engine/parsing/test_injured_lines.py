"""Lines of every format with random injuries: none raises, and each is a record, a part of one, or a dead letter."""

import random

import numpy as np
import pytest

from engine.formats.registry import FORMATS
from engine.parsing.parsed_columns import SPANNED
from engine.steps.parse import Parsed, ParseSettings
from tests.support.parsing import make_batch, mutate, new_parser
from tests.support.sweep import sweep

BATCH = 1000
EXAMPLES = [line for f in FORMATS.values() for text in (*f.examples, *f.blocks) for line in text.split(b"\n")]
ODD = [
    b"",
    b" ",
    b"\x1b[31m",
    b"\xef\xbb\xbf",
    b"{",
    b"[",
    b"<Event>",
    b"# Time: 2024-03-10T06:25:01.389753Z",
    b"-" * 300,
]


def injured(rng: random.Random) -> bytes:
    """An injured line; at times the halves of two, or a line that begins something."""
    chance = rng.random()
    if chance < 0.01:
        return rng.choice(ODD)
    line = mutate(rng.choice(EXAMPLES), rng)
    if chance < 0.06:
        other = rng.choice(EXAMPLES)
        line = line[: rng.randrange(len(line) + 1)] + other[rng.randrange(len(other) + 1) :]
    return line


def check(parsed: Parsed) -> int:
    """Checks a batch; the number of its records."""
    good, rows = parsed.good, parsed.rows
    assert len(rows.text) == len(good) + len(parsed.joined) + len(parsed.pieces) + len(rows.bad)
    assert (np.diff(good.rows) > 0).all()
    assert set(parsed.level().tolist()) <= set(range(len(parsed.level_names)))
    for name in SPANNED:
        assert len(parsed.texts(name)) == len(good)
    return len(good)


@pytest.mark.parametrize("seed", range(sweep(1, 20)))
def test_no_injured_line_raises(seed: int) -> None:
    rng, parser, records, count = random.Random(seed), new_parser(ParseSettings()), 0, sweep(5_000, 50_000)
    for start in range(0, count, BATCH):
        records += check(parser.parse(make_batch([injured(rng) for _ in range(BATCH)], first=start)))
        if start % (20 * BATCH) == 0:
            parser = new_parser(ParseSettings(), parser.snapshot())
    rest = parser.finish()
    records += 0 if rest is None else check(rest)
    assert records > count // 2
