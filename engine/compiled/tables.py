"""The tables that compiled loops read and fill: formats, patterns, layouts, masked messages."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NO_KEY, BY_LAYOUT, BY_LOOP, BY_CALLER = range(4)
"""How a session key or a masked message is found: not at all; with the layout; line by line; by the caller."""

HEADER, KEY, TEXT_MODE, CLOCKED, WRAPPED, KINDS, SESSION, MASK, WORD = 0, 1, 2, 3, 4, 5, 6, 8, 10
"""Columns of `Tables.formats`: first instruction of the header (-1: lines are documents); how key and masked
message are found; whether a time may be in the message of a line whose header has none; whether a container
runtime wraps lines; whether messages are requests with a status; first and last (excluded) session rule and
mask in `Tables.searches`, and name of a level in `Tables.levels`."""

FORMAT_COLUMNS = 12

PLACE, NAME_SIZE, MANNER, LEAST, START_BYTE = range(5)
"""Columns of `Tables.searches`: first instruction; size of the name; how matches are looked for; bytes of the
shortest match; the one byte that matches begin with, `A_DIGIT` where it is any digit, or `SEVERAL`."""

SEARCH_COLUMNS = 5
SEVERAL, A_DIGIT = -1, -2

ANYWHERE, ANCHORED, AT_WORDS, WHOLE_WORDS, RUNS = range(5)
"""Manners of a search: a match may begin anywhere; only at the start of the text; only where a word does; it is a
whole word; it is a run of bytes of one set."""

HASH, OTHER_HASH, FORMAT, LEVEL, CONTAINER, TEXT = range(6)
"""Columns of `KnownLines.layouts`; from TEXT on the numbers of the masked message by kind of HTTP status."""

STATUS_KINDS = 9
LAYOUT_COLUMNS = TEXT + STATUS_KINDS

NO_TEXT = -1
LEVEL_ASKED, LEVEL_EACH = -1, -2
"""Levels of a layout: not known yet; different from line to line."""

TEXT_HASH, START, SIZE, TEXT_FORMAT, TOKEN_START, TOKEN_COUNT, NODE, EPOCH, REVISION, CLUSTER = range(10)
"""Columns of `KnownLines.texts`: hash, place in `KnownLines.bytes`, size, format; place and number of its tokens (-1:
not split yet); the answer of `engine.compiled.drain`, and the node and epoch as of which it holds."""

TEXT_COLUMNS = 10

LAYOUTS, TEXTS, BYTES = range(3)
"""Columns of `KnownLines.counts`."""

MOST_NEEDS = 4
MOST_NAME = 64
LEVEL_BYTES = 24


class Tables(NamedTuple):
    """The formats and their patterns; never changes.

    Attributes:
        code, sets: Programs, see `engine.compiled.regex_program.ProgramTable`.
        formats: int64 (n, FORMAT_COLUMNS).
        groups: int64 (n, MOST, 3): groups of the header, ascending, and the session key if its place is kept; least
            and greatest number of digits of each. -1 fills up.
        searches: int64 (m, SEARCH_COLUMNS): session rules and masks.
        starts: bool (m, 3, 256): what a match of each may begin with; those bytes of a run of which none can
            begin a match if one of them could not; and what it may hold.
        needs: uint64 (m, MOST_NEEDS, 4): sets of bytes, as bits, of each of which every match holds one.
        names: uint8 (m, MOST_NAME): what a mask puts in place of a match.
        levels: uint64 (k, 4): names of levels in capitals, LEVEL_BYTES bytes, and their code.
        orders: int64 (p, q): formats in the order in which they are tried, by the one that is preferred (the last
            row: none); -1 ends.
        status: int64 (1000,): kind of each HTTP status.
        status_names: uint8 (STATUS_KINDS, 17): what a template calls it; last, the size of the name.
    """

    code: NDArray[np.int32]
    sets: NDArray[np.bool_]
    formats: NDArray[np.int64]
    groups: NDArray[np.int64]
    searches: NDArray[np.int64]
    starts: NDArray[np.bool_]
    needs: NDArray[np.uint64]
    names: NDArray[np.uint8]
    levels: NDArray[np.uint64]
    orders: NDArray[np.int64]
    status: NDArray[np.int64]
    status_names: NDArray[np.uint8]


class KnownLines(NamedTuple):
    """What was learnt from lines; the tables have room for more rows than `counts` states.

    Attributes:
        counts: int64 (3,).
        seeds: uint64 (2,): of the hashes of skeletons.
        table: int32: hash table of the layouts' numbers + 1, a power of two long.
        once: int64: hashes of skeletons that came once.
        layouts: int64 (n, LAYOUT_COLUMNS).
        places: int64 (n, 2 * MOST): start and end of the format's groups: the number of runs of digits that end
            before it (upper half) and the bytes behind the last of them; -1 where a group took no part.
        text_table: int32: hash table of the messages' numbers + 1, a power of two long.
        texts: int64 (m, TEXT_COLUMNS): masked messages.
        bytes: uint8: their bytes.
    """

    counts: NDArray[np.int64]
    seeds: NDArray[np.uint64]
    table: NDArray[np.int32]
    once: NDArray[np.int64]
    layouts: NDArray[np.int64]
    places: NDArray[np.int64]
    text_table: NDArray[np.int32]
    texts: NDArray[np.int64]
    bytes: NDArray[np.uint8]


class Room(NamedTuple):
    """Scratch for one line.

    That is: edges of its runs of digits, its message, places of groups, a stack for matching, numbers of its time,
    bytes that it holds, and the beginning of its message.
    """

    edges: NDArray[np.int64]
    buffers: NDArray[np.uint8]
    slots: NDArray[np.int64]
    other: NDArray[np.int64]
    stack: NDArray[np.int64]
    values: NDArray[np.int64]
    present: NDArray[np.uint64]
    head: NDArray[np.uint8]


class ClockTables(NamedTuple):
    """What the time of a line depends on, apart from its numbers; see `engine.formats.timestamps.TimeRules`.

    Attributes:
        limits: int64 (6,): see `TimeRules.limits`.
        quarters, offsets: See `engine.formats.zone_offsets.ZoneOffsets`.
    """

    limits: NDArray[np.int64]
    quarters: NDArray[np.int64]
    offsets: NDArray[np.int64]


class RowColumns(NamedTuple):
    """What was found, one row per line: see `engine.parsing.parsed_columns.Rows`.

    `ask` is what the caller has to find out, and `layout` where the answer may be kept (-1: nowhere).
    """

    time_ns: NDArray[np.int64]
    session: NDArray[np.int64]
    key_start: NDArray[np.int64]
    key_end: NDArray[np.int64]
    text: NDArray[np.int32]
    format: NDArray[np.int16]
    container: NDArray[np.int8]
    level: NDArray[np.int8]
    spans: NDArray[np.int64]
    ask: NDArray[np.uint8]
    layout: NDArray[np.int32]
