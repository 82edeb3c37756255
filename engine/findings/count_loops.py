"""The loops of `engine.findings.counts`: counts that are far from usual, and what is learnt from each block."""

from math import sqrt

from engine.findings.loops import Flag, Float, Floats, Int, Ints, entry, loop

SUSPECT_Z = 3.0
"""Standard deviations above the mean from which a count is looked at."""
FEWEST = 8.0
"""Lines to be expected before their absence means anything."""
LOW = 0.6
"""Share of the mean below which a count is looked at."""
SHRINK = 10.0
"""Lines at which a thing's own dispersion and the source's typical one weigh the same."""
_LEAST_SPAN_S, _LEAST_SQUARE = 1e-9, 1e-12
COLUMNS = 8
"""Count, total, means and dispersions of what is found, see `far_counts`."""


@loop
def _above(count: Float, mean: Float, size: Float) -> Flag:
    """Whether a count is far above the mean of a negative binomial of this size."""
    return count > mean + SUSPECT_Z * sqrt(mean + mean * mean / size) and count >= 2


@loop
def _below(count: Float, mean: Float) -> Flag:
    return mean >= FEWEST and count < LOW * mean


@loop
def _shrunk(excess: Float, square: Float, total: Float, typical: Float) -> Float:
    """Dispersion of a thing with this variance above Poisson's and this square of the mean."""
    own = max(0.0, excess / max(square, _LEAST_SQUARE))
    return (total * own + SHRINK * typical) / (total + SHRINK)


@loop
def _excess(
    sums: Float, square: Float, product: Float, groups: Float, span: Float, span_square: Float
) -> tuple[Float, Float, Float, Float]:  # fmt: skip
    """Variance above Poisson's, and the square of the mean, each given the lines and given the seconds of a window."""
    mean, rate = sums / groups, sums / span
    by_clock = square - 2 * rate * product + rate * rate * span_square - sums
    return square / groups - mean * mean - mean, by_clock, mean * mean, rate * rate * span_square


@entry
def far_counts(
    counts: Floats, ring: Floats, n: Int, blocks: Int, totals: Floats, part: Floats, square: Floats, product: Floats,
    last: Floats, times: Floats, typical: Floats, families: Ints, of_families: Floats, found: Ints, columns: Floats,
) -> Int:  # fmt: skip
    """Find the counts of a window that are far from usual both by the lines and by the clock.

    Of a count that is far above usual by one of the two only, it is enough that this one fits the past better.

    Takes:
        counts: float64 (m,): in the block that ends the window.
        ring, n, blocks: float64 (r, m): counts of the last blocks; blocks so far; blocks of the window.
        totals: float64 (m,): counts in all blocks so far.
        part, square, product: float64 (m,): of the windows of the past the counts of the one that is open, and the sums
            of the squares of all others, and of their products with their seconds.
        last: float64 (m,): counts of the last of these windows if it overlaps this one, else empty.
        times: float64 (7,): seconds of this window; of the past before it; of the windows of the past, summed and
            squared; number of these windows, this one's length as a share of the past, seconds of the last window.
        typical: float64 (2,): typical dispersion by the lines and by the clock.
        families: int64 (m,): see `engine.findings.counts.CountHistory.observe`; empty where there are none.
        of_families: float64 (families, 7): zeros; for sums over the members of a family.
        found: int64 (m,): filled here.
        columns: float64 (8, m): filled here from the first column on: count, total, mean by the lines and by the clock,
            dispersion by both, and two that are free.

    Returns:
        How many were found.
    """
    span_s, past_s, share, last_s, square_s = times[0], times[1], times[5], times[6], times[3]
    groups_s, groups = max(times[2], _LEAST_SPAN_S), max(times[4], 1.0)
    for i in range(len(counts)):
        inside = 0.0
        for age in range(1, blocks):
            inside += ring[(n - age) % len(ring), i]
        columns[6, i], columns[7, i] = counts[i] + inside, max(totals[i] - inside, 0.0)
    if len(families):
        _raise_totals(columns[7], families, of_families)
    used, summed = 0, False
    for i in range(len(counts)):
        count, total = columns[6, i], columns[7, i]
        usual = (total + 0.5) * share
        # Few things are unusual even for a Poisson count; all else is done for these alone.
        if total < 1 or not (_above(count, usual, total + 0.5) or _below(count, usual)):
            continue
        if len(families) and not summed:
            for j in range(len(counts)):
                _add_member(j, totals, part, square, product, last, last_s, groups, groups_s, square_s, families,
                            of_families)  # fmt: skip
            summed = True
        by_lines, by_clock, mean_square, rate_square = _own(
            i, totals, part, square, product, last, last_s, groups, groups_s, square_s
        )
        lines, clock = typical[0], typical[1]
        if len(families):
            family = families[i]
            lines = _shrunk(of_families[family, 2], of_families[family, 4], of_families[family, 6], lines)
            clock = _shrunk(of_families[family, 3], of_families[family, 5], of_families[family, 6], clock)
        lines = _shrunk(by_lines, mean_square, total, lines)
        clock = _shrunk(by_clock, rate_square, total, clock)
        expected = (total + 0.5) / past_s * span_s if past_s > 0 else usual
        inverse = 1.0 / (total + 0.5)
        many = _above(count, usual, 1.0 / (inverse + lines))
        many_by_clock = _above(count, expected, 1.0 / (inverse + clock))
        # One explanation is enough, unless the other fits the past better.
        if many != many_by_clock:
            many = past_s > 0 and (clock > lines if many else lines > clock)
        if many or (_below(count, usual) and _below(count, expected)):
            found[used] = i
            columns[0, used], columns[1, used], columns[2, used] = count, total, usual
            columns[3, used], columns[4, used], columns[5, used] = expected, lines, clock
            used += 1
    return used


@loop
def _raise_totals(totals: Floats, families: Ints, of_families: Floats) -> None:
    """What writes for the first time is expected to write as much as the others of its family."""
    for i in range(len(totals)):
        if totals[i] > 0:
            of_families[families[i], 0] += 1
        of_families[families[i], 1] += totals[i]
    for i in range(len(totals)):
        family = families[i]
        totals[i] = max(totals[i], of_families[family, 1] / max(of_families[family, 0], 1.0))


@loop
def _own(
    i: Int, totals: Floats, part: Floats, square: Floats, product: Floats, last: Floats, last_s: Float, groups: Float,
    groups_s: Float, square_s: Float,
) -> tuple[Float, Float, Float, Float]:  # fmt: skip
    """See `_excess`: of one thing, without the last window of the past where that overlaps the one of now."""
    sums, squares, products = totals[i] - part[i], square[i], product[i]
    if len(last):
        sums, squares, products = sums - last[i], squares - last[i] * last[i], products - last[i] * last_s
    found: tuple[Float, Float, Float, Float] = _excess(sums, squares, products, groups, groups_s, square_s)
    return found


@loop
def _add_member(
    i: Int, totals: Floats, part: Floats, square: Floats, product: Floats, last: Floats, last_s: Float, groups: Float,
    groups_s: Float, square_s: Float, families: Ints, of_families: Floats,
) -> None:  # fmt: skip
    """Add the moments and the total of one thing to those of its family."""
    found = _own(i, totals, part, square, product, last, last_s, groups, groups_s, square_s)
    family = families[i]
    for place in range(4):
        of_families[family, 2 + place] += found[place]
    of_families[family, 6] += totals[i]


@entry
def learn_counts(counts: Floats, totals: Floats, recent: Floats, part: Floats) -> None:
    """Add the counts of a block.

    Takes:
        counts: float64 (m,).
        totals: float64 (m,): all counts so far.
        recent: float64 (m,): row of the ring, filled here.
        part: float64 (scales, m): counts of the open window of each scale.
    """
    for i in range(len(counts)):
        totals[i] += counts[i]
        recent[i] = counts[i]
    for scale in range(len(part)):
        for i in range(len(counts)):
            part[scale, i] += counts[i]


@entry
def close_window(part: Floats, square: Floats, product: Floats, last: Floats, part_s: Float) -> None:
    """Close the open window of a scale, which took `part_s` seconds; all arrays are float64 (m,)."""
    for i in range(len(part)):
        square[i] += part[i] * part[i]
        product[i] += part[i] * part_s
        last[i] = part[i]
        part[i] = 0.0
