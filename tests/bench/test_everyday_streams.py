import numpy as np
import pytest

from bench.data.everyday_streams import CHANGES, NoTemplateError, StreamLines, daily_rhythm
from models.base import template_id

TEXTS = {template_id(text): text for text in ("always", "often", "one in five windows", "seldom")}
ALWAYS, OFTEN, FIFTH, SELDOM = TEXTS


@pytest.fixture(scope="module")
def lines():
    ids = np.random.default_rng(0).choice(list(TEXTS), 40_000, p=(0.9675, 0.02, 0.01, 0.0025))
    return StreamLines(ids, np.arange(40_000, dtype=np.int64) * 10**9, TEXTS)


def shares(change, at):
    return change.lines.shares(0, at), change.lines.shares(at, len(change.lines.ids))


def test_a_new_component_is_in_its_share_of_the_lines_and_only_later(lines):
    change = CHANGES["new_component"](lines, 20_000)
    held = np.isin(change.lines.ids, list(change.carriers))
    assert not held[:20_000].any()
    assert held[20_000:].mean() == pytest.approx(0.05, abs=0.01)


def test_a_template_vanishes_triples_or_is_reworded(lines):
    (gone,) = CHANGES["vanished"](lines, 20_000).carriers
    before, after = shares(CHANGES["vanished"](lines, 20_000), 20_000)
    assert (gone, before[gone]) == (FIFTH, pytest.approx(0.18, abs=0.03))
    assert gone not in after
    before, after = shares(CHANGES["tripled"](lines, 20_000), 20_000)
    assert after[FIFTH] / before[FIFTH] == pytest.approx(3, rel=0.2)
    change = CHANGES["renamed"](lines, 20_000)
    before, after = shares(change, 20_000)
    new = next(iter(change.carriers - {OFTEN}))
    assert after[new] == pytest.approx(before[OFTEN], rel=0.2)
    assert change.lines.texts[new] == "worker reports: often"


def test_a_log_without_a_template_for_a_change_says_so():
    only = StreamLines(np.full(40_000, ALWAYS), np.arange(40_000, dtype=np.int64), TEXTS)
    with pytest.raises(NoTemplateError, match="19%"):
        CHANGES["vanished"](only, 20_000)


def test_the_rhythm_repeats_every_day():
    rhythm = daily_rhythm(days=2)
    hour = rhythm.time_ns // 3_600_000_000_000
    batch = np.array([rhythm.texts[i].startswith("batch") for i in rhythm.ids.tolist()])
    share = [batch[hour == h].mean() for h in (3, 15, 27, 39)]
    assert min(share[0], share[2]) > 0.4 > 0.1 > max(share[1], share[3])
