"""One pass over the lines of a block: what detectors need of each template or level, and of the gaps between lines."""

from engine.findings.loops import Flag, Floats, Int, Ints, entry


@entry
def group_lines(things: Ints, counts: Ints, first: Ints, last: Ints) -> None:
    """Count the lines of each thing (template, level), and note its first and last one.

    Takes:
        things: int32 or int8 (n,): number of each line's thing.
        counts: int64 (m,): zeros; lines of each thing.
        first, last: int64 (m,): index of its first and last line; not written where it has none.
    """
    for i in range(len(things)):
        thing = things[i]
        if not counts[thing]:
            first[thing] = i
        counts[thing] += 1
        last[thing] = i


@entry
def sort_lines(things: Ints, places: Ints, order: Ints) -> None:
    """Sort lines by thing; those of one thing stay in line order.

    Takes:
        things: int32 (n,): number of each line's thing.
        places: int64 (m,): where the lines of each thing begin in `order`; moved on to where they end.
        order: int64 (n,): filled here.
    """
    for i in range(len(things)):
        thing = things[i]
        order[places[thing]] = i
        places[thing] += 1


@entry
def find_gaps(
    keys: Ints, rows: Ints, times: Ints, clock: Int, last_ns: Ints, last_row: Ints, least_ns: Ints, found: Ints,
    gaps: Ints, ends: Ints,
) -> Int:  # fmt: skip
    """Find the gaps between each line and the one before it of its template, by a clock that never runs backwards.

    Takes:
        keys: int32 (n,): the lines' templates.
        rows, times: int64 (n,): their numbers and times in ns.
        clock: ns: where the clock stands before the first line.
        last_ns, last_row: int64 (m,): clock and number of each template's last line before; 0 ns where it has none.
        least_ns: int64 (b,): ascending: the shortest gap of each bucket but the first.
        found: int64 (m, 6): zeros; of each template the longest gap in ns, the index of the first line that ends one as
            long, the clock there, the lines from the one before it to it, the most lines of a gap, and the sum of all
            gaps in ns.
        gaps: int32 (n, 2): template and bucket of each gap longer than nothing; filled from the first row on.
        ends: int64 (m, 4): zeros; 1 where a template has a line, the clock at its first and last line, and the number
            of the last one.

    Returns:
        Rows filled in `gaps`.
    """
    used = 0
    for i in range(len(keys)):
        key = keys[i]
        clock = max(clock, times[i])
        row = rows[i]
        if ends[key, 0]:
            gap, lines = clock - ends[key, 2], row - ends[key, 3]
        else:
            ends[key, 0], ends[key, 1] = 1, clock
            gap, lines = (clock - last_ns[key], row - last_row[key]) if last_ns[key] > 0 else (0, 0)
        ends[key, 2], ends[key, 3] = clock, row
        found[key, 4] = max(found[key, 4], lines)
        if gap > 0:
            if gap > found[key, 0]:
                found[key, 0], found[key, 1], found[key, 2], found[key, 3] = gap, i, clock, lines
            found[key, 5] += gap
            low, high = 0, len(least_ns)
            while low < high:
                middle = (low + high) >> 1
                if least_ns[middle] <= gap:
                    low = middle + 1
                else:
                    high = middle
            gaps[used, 0], gaps[used, 1] = key, low
            used += 1
    return used


@entry
def add_gaps(gaps: Ints, used: Int, histogram: Ints, numbers: Ints) -> None:
    """Add gaps to the histograms of their templates.

    Takes:
        gaps, used: See `find_gaps`.
        histogram: float32 (m, buckets).
        numbers: float64 (m,): gaps of each template.
    """
    for i in range(used):
        histogram[gaps[i, 0], gaps[i, 1]] += 1
        numbers[gaps[i, 0]] += 1


@entry
def has_span(spans: Ints, field: Int) -> Flag:
    """Whether a line has a field, see `engine.parsing.parsed_columns.Rows.spans`."""
    for i in range(len(spans)):
        if spans[i, field, 1] > spans[i, field, 0]:
            return True
    return False


@entry
def add_to_hour(
    keys: Ints, rows: Ints, times: Ints, start: Int, stop: Int, now: Floats, place: Ints
) -> None:  # fmt: skip
    """Add lines to the open hour of `engine.findings.season`.

    Takes:
        keys: int32 (n,): the lines' templates.
        rows, times: int64 (n,): their numbers and times in ns.
        start, stop: The lines to add.
        now: float64 (m,): lines of each template that is watched in the hour.
        place: int64 (4, m): number of the first and last line, and their times, the second not before the first.
    """
    for i in range(start, stop):
        key = keys[i]
        if key < len(now):
            if not now[key]:
                place[0, key], place[2, key] = rows[i], times[i]
            now[key] += 1
            place[1, key], place[3, key] = rows[i], max(times[i], place[2, key])


@entry
def longest_pause(times: Ints, first: Int, witnesses: Int) -> tuple[Int, Int]:
    """Find the longest pause between the lines before a line, and it and the lines behind it.

    Takes:
        times: int64 (n,): in ns; the first and last time also stand for the lines outside.
        first: The first line that can end the pause, at least 1.
        witnesses: The pause begins with the latest of so many lines, and ends with the earliest of so many.

    Returns:
        The line that ends the pause, counted from `first`, and its length in ns, negative if no line is behind all of
        those before it.
    """
    found, longest = 0, 0
    for i in range(first, len(times)):
        began, ended = times[i - 1], times[i]
        for age in range(2, witnesses + 1):
            began = max(began, times[max(0, i - age)])
        for ahead in range(1, witnesses):
            ended = min(ended, times[min(len(times) - 1, i + ahead)])
        if i == first or ended - began > longest:
            found, longest = i - first, ended - began
    return found, longest
