from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from federation.storage.eviction import priority, surplus

cells = st.dictionaries(st.tuples(st.integers(-1, 1), st.integers(0, 8)), st.integers(1, 40), max_size=20)


@given(cells, st.integers(0, 300))
def test_just_enough_is_given_up_and_no_cell_gives_more_than_it_has(cells, room):
    dropped = surplus(cells, room)
    assert dropped.total() == max(0, sum(cells.values()) - room)
    assert all(count <= cells[cell] for cell, count in dropped.items())


@given(cells, st.integers(0, 300))
def test_only_the_fullest_give(cells, room):
    dropped = surplus(cells, room)
    left = Counter(cells)
    left.subtract(dropped)
    totals: Counter[int] = Counter()
    for (kind, _), count in left.items():
        totals[kind] += count
    for kind, slot in dropped:
        # Whoever gave is now as full as the fullest, or one below it.
        assert totals[kind] >= max(totals.values()) - 1
        assert left[kind, slot] >= max(c for (k, _), c in left.items() if k == kind) - 1


def test_a_rare_class_keeps_all_it_has():
    dropped = surplus({(0, 1): 900, (0, 2): 100, (1, 1): 30}, 500)
    assert dropped == {(0, 1): 530}


def test_the_draw_is_uniform_and_repeatable():
    drawn = [priority(str(i).encode()) for i in range(20_000)]
    assert drawn == [priority(str(i).encode()) for i in range(20_000)]
    assert max(drawn) < 2**63
    quarters = Counter(d >> 61 for d in drawn)
    assert all(4_800 < quarters[q] < 5_200 for q in range(4))
