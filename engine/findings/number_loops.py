"""Find the numbers in messages, see `engine.findings.lines`."""

from engine.findings.loops import Bytes, Flag, Int, Ints, entry, loop

_MAX_DIGITS, _MAX_DECIMALS = 15, 9
_UNITS = (
    "ns", "us", "ms", "msec", "s", "sec", "secs", "second", "seconds", "K", "KB", "kB", "M", "MB", "G", "GB",
    "bytes", "B",
)  # fmt: skip
_UNIT_CODES = tuple(sorted(int.from_bytes(unit.encode(), "big") for unit in _UNITS))
LONGEST_UNIT = max(map(len, _UNITS))


@loop
def _is_digit(byte: Int) -> Flag:
    return 48 <= byte <= 57


@loop
def _is_word(byte: Int) -> Flag:
    return _is_digit(byte) or 97 <= byte <= 122 or 65 <= byte <= 90 or byte == 95


@loop
def _is_joint(byte: Int) -> Flag:
    """`.`, `:`, `/` or `-`: with a digit behind it, it continues a number, a path, an address or a date."""
    return byte == 46 or byte == 58 or byte == 47 or byte == 45


@loop
def _ends(data: Bytes, at: Int, end: Int) -> Flag:
    """Whether a number, or its unit, may end before `at`."""
    if at >= end:
        return True
    if _is_word(data[at]) or data[at] == 37:
        return False
    return not (_is_joint(data[at]) and at + 1 < end and _is_digit(data[at + 1]))


@loop
def _begins(data: Bytes, at: Int, start: Int) -> Flag:
    """Whether the digit at `at` may be the first of a number."""
    if at > start and data[at - 1] == 45:
        at -= 1
    return at == start or not (_is_word(data[at - 1]) or _is_joint(data[at - 1]))


@loop
def _has_unit(data: Bytes, at: Int, end: Int) -> Flag:
    """Whether a unit follows a number at once, and ends there."""
    if at < end and data[at] == 37:
        stop = at + 1
    else:
        stop, code = at, 0
        while stop < end and _is_word(data[stop]) and stop - at < LONGEST_UNIT:
            code = code << 8 | data[stop]
            stop += 1
        known = False
        for unit in _UNIT_CODES:
            known |= unit == code
        if not known:
            return False
    return _ends(data, stop, end) and not (stop < end and data[stop] == 61)


@entry
def find_numbers(data: Bytes, starts: Ints, ends: Ints, found: Ints, counts: Ints) -> None:
    """Find the numbers in some messages, as the regular expression in `engine.findings.lines` defines them.

    Takes:
        data: uint8: a batch.
        starts, ends: int64 (n,): the messages.
        found: int64 (n, m, 2): start and end of the first numbers of each message, without their sign; filled here.
        counts: int64 (n,): how many numbers each message has; filled here.
    """
    for i in range(len(starts)):
        start, end, used = starts[i], ends[i], 0
        at = start
        while at < end:
            if not _is_digit(data[at]):
                at += 1
                continue
            first = at
            while at < end and _is_digit(data[at]):
                at += 1
            fits = at - first <= _MAX_DIGITS and _begins(data, first, start)
            if at + 1 < end and data[at] == 46 and _is_digit(data[at + 1]):
                point = at
                at += 1
                while at < end and _is_digit(data[at]):
                    at += 1
                fits = fits and at - point - 1 <= _MAX_DECIMALS
            if fits and (_ends(data, at, end) or _has_unit(data, at, end)):
                if used < found.shape[1]:
                    found[i, used, 0], found[i, used, 1] = first, at
                used += 1
        counts[i] = used
