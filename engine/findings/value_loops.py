"""The loops of `engine.findings.values`: scores of values among those before them, and what is learnt from them."""

from math import sqrt

from engine.findings.loops import Float, Floats, Int, Ints, entry, loop

_LOW, _MEDIAN, _HIGH = 0.16, 0.5, 0.84


@loop
def _quantile(histogram: Floats, total: Float, share: Float) -> Int:
    """The first bucket up to which `share` of the values lie."""
    below = 0.0
    for bucket in range(len(histogram)):
        below += histogram[bucket]
        if below >= share * total:
            return bucket
    return 0


@entry
def score_values(
    slots: Ints, buckets: Ints, histograms: Floats, seen: Floats, least: Float, far: Float, shares: Floats,
    sums: Floats, numbers: Floats,
) -> None:  # fmt: skip
    """Add up the scores of values among those before the block.

    Takes:
        slots: int32 (n,): places of the values.
        buckets: int64 (n,): their buckets.
        histograms: float64 (m, b): values of each place before the block.
        seen: float64 (m,): their number.
        least: Values before the block from which a place is scored.
        far: Greatest score by distance from the median.
        shares: float64 (k,): shares of the values that count as high.
        sums: float64 (1 + k, m): sums of the scores of each place, by distance and for each share; added to.
        numbers: float64 (m,): scored values; added to.
    """
    for i in range(len(slots)):
        slot, bucket = slots[i], buckets[i]
        if seen[slot] < least:
            continue
        histogram, total, below = histograms[slot], 0.0, 0.0
        for at in range(len(histogram)):
            total += histogram[at]
            if at == bucket:
                below = total
        rank = (below - 0.5 * histogram[bucket] + 0.5) / (seen[slot] + 1.0)
        spread = (_quantile(histogram, total, _HIGH) - _quantile(histogram, total, _LOW)) / 2
        distance = (bucket - _quantile(histogram, total, _MEDIAN)) / max(spread, 1.0)
        sums[0, slot] += min(max(distance, -far), far)
        for k in range(len(shares)):
            share = shares[k]
            sums[1 + k, slot] += ((1.0 if rank > 1 - share else 0.0) - share) / sqrt(share * (1 - share))
        numbers[slot] += 1


@entry
def learn_values(slots: Ints, buckets: Ints, histograms: Floats, seen: Floats, full: Float) -> None:
    """Add values to the histograms of their places, and halve those that are full; see `score_values`."""
    for i in range(len(slots)):
        histograms[slots[i], buckets[i]] += 1
        seen[slots[i]] += 1
    for i in range(len(slots)):
        slot = slots[i]
        if seen[slot] > full:
            seen[slot] /= 2
            for bucket in range(histograms.shape[1]):
                histograms[slot, bucket] /= 2
