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
    counts: Floats, block_s: Float, ring: Floats, ring_s: Floats, n: Int, scale: Int, totals: Floats, total_s: Float,
    part: Floats, square: Floats, product: Floats, last: Floats, part_s: Floats, square_s: Floats, last_s: Floats,
    typical: Floats, families: Ints, of_families: Floats, found: Ints, columns: Floats,
) -> Int:  # fmt: skip
    """Find the counts of a window that are far from usual both by the lines and by the clock.

    Of a count that is far above usual by one of the two only, it is enough that this one fits the past better.

    Takes:
        counts, block_s: float64 (m,): in the block that ends the window; seconds of the block.
        ring, ring_s: float64 (r, m) and (r,): counts and seconds of the last blocks.
        n, scale: Blocks so far; the window has 2^scale blocks.
        totals, total_s: float64 (m,): counts in all blocks so far; their seconds.
        part, part_s: float64 (scales, m) and (scales,): counts and seconds of the open window of each scale.
        square, product, square_s: The same of the closed ones: sums of the squares of counts, of their products with
            the seconds, and of the squares of the seconds.
        last, last_s: The same of the last closed one.
        typical: float64 (2, scales): typical dispersion by the lines and by the clock.
        families: int64 (m,): see `engine.findings.counts.CountHistory.observe`; empty where there are none.
        of_families: float64 (families, 7): zeros; for sums over the members of a family.
        found: int64 (m,): filled here.
        columns: float64 (8, m): filled here from the first column on: count, total, mean by the lines and by the clock,
            dispersion by both, 1 where the past took time, and one that is free.

    Returns:
        How many were found.
    """
    blocks, groups = 1 << scale, n >> scale
    span_s = block_s
    for age in range(1, blocks):
        span_s += ring_s[(n - age) % len(ring_s)]
    past_s, share = total_s - (span_s - block_s), blocks / (n - (blocks - 1))
    groups_s, squares_s, before_s = total_s - part_s[scale], square_s[scale], last_s[scale]
    # The last window of the past may overlap the one of now.
    overlaps = (n + 1) % blocks != 0 and groups > 1
    if overlaps:
        groups, groups_s, squares_s = groups - 1, groups_s - before_s, squares_s - before_s * before_s
    groups, groups_s = max(1, groups), max(groups_s, _LEAST_SPAN_S)
    sums = part[scale], square[scale], product[scale], last[scale]
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
                own = _own(j, totals, sums, overlaps, before_s, groups, groups_s, squares_s)
                _add_member(of_families[families[j]], own, totals[j])
            summed = True
        by_lines, by_clock, mean_square, rate_square = _own(
            i, totals, sums, overlaps, before_s, groups, groups_s, squares_s
        )
        lines, clock = typical[0, scale], typical[1, scale]
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
            columns[6, used] = 1.0 if past_s > 0 else 0.0
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
    i: Int, totals: Floats, of: tuple[Floats, Floats, Floats, Floats], overlaps: Flag, last_s: Float, groups: Int,
    groups_s: Float, squares_s: Float,
) -> tuple[Float, Float, Float, Float]:  # fmt: skip
    """See `_excess`: of one thing, without the last window of the past where that overlaps the one of now."""
    part, square, product, last = of
    sums, squares, products = totals[i] - part[i], square[i], product[i]
    if overlaps:
        sums, squares, products = sums - last[i], squares - last[i] * last[i], products - last[i] * last_s
    found: tuple[Float, Float, Float, Float] = _excess(sums, squares, products, groups, groups_s, squares_s)
    return found


@loop
def _add_member(family: Floats, own: tuple[Float, Float, Float, Float], total: Float) -> None:
    """Add the moments and the total of one thing to those of its family."""
    for place in range(4):
        family[2 + place] += own[place]
    family[6] += total


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
