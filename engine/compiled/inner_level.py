"""The level at the beginning of a message whose header has none, as in containers' logs and syslog.

The first of these that the beginning of a message contains decides:

1. the letter of klog's header (`I0310 06:25:01.123456 1 controller.go:132] `), or one as `[E] `, `E! `, `E [`,
   `E core/op.cc:17] ` or `E 4711 4712] `;
2. a field such as `level=warning`, by the first that has a value;
3. a tag as the first word (`warning: `), behind numbers and brackets too (`4711: error : `, `17.3s error: `);
4. the name of a level at a place where levels are: in capitals; in brackets (`[warn]`, `<Error>`, `(err):`,
   `[error|`, `.missing:error]`); between tabs or commas; in a column of its own (`<17> Error    `, `error <tag>`); as a
   tag within (`imap(alice): Error: `); or behind a facility of syslog (`daemon.err`);
5. a letter in brackets or bars further on (`git.go:17 [E] `, `|E|`).

Numbers count as one digit each, so lines of one skeleton have one level.
"""

import numpy as np

from engine.compiled.jit import entry, loop
from engine.compiled.machine_types import ZERO, Bytes, Flag, Int
from engine.compiled.words import PAD, padded
from engine.formats.base import LEVEL_NAMES, LEVELS

LOOKED_AT = 120
"""Bytes of a message, with each number as one: further on a word in capitals is rather part of the text."""

HEAD_BYTES = LOOKED_AT + 4
"""Size of the scratch array of `inner_level`, which ends in bytes that match nothing."""

_TAGS = "trace debug info notice warn warning error fatal critical panic".upper().split()
_CAPITALS = (
    "TRACE DEBUG INFO NOTICE WARN WARNING ERR ERROR SEVERE FATAL CRIT CRITICAL ALERT EMERG PANIC TRC DBG"
    " DBUG INF WRN FTL"
).split()
_BRACKETED = (
    "trace debug info information notice warn warning err error fatal crit critical alert emerg emergency panic"
).upper().split()  # fmt: skip
_FIELDS = "level lvl severity loglevel prio".upper().split()
_FACILITIES = "kern user mail daemon auth authpriv syslog lpr news uucp cron ftp local".upper().split()
_IS_TAG, _IS_CAPITALS, _IS_BRACKETED, _IS_FIELD, _IS_FACILITY = 1, 2, 4, 8, 16
_LONGEST = 16


def _words() -> list[tuple[int, int, int, int]]:
    """The known words: 16 bytes in capitals, index into `LEVEL_NAMES`, and where each counts as bits."""
    uses = (
        (_TAGS, _IS_TAG), (_CAPITALS, _IS_CAPITALS), (_BRACKETED, _IS_BRACKETED), (_FIELDS, _IS_FIELD),
        (_FACILITIES, _IS_FACILITY),
    )  # fmt: skip
    rows = []
    for word in sorted({*LEVELS, *_FIELDS, *_FACILITIES}):
        packed = int.from_bytes(word.encode(), "little")
        level = LEVEL_NAMES.index(LEVELS.get(word, ""))
        rows.append((packed & (1 << 64) - 1, packed >> 64, level, sum(bit for words, bit in uses if word in words)))
    return rows


_WORDS = np.array(_words(), np.uint64)
_KLOG = np.frombuffer(b"0 0:0:0.0 ", np.uint8)
_LETTERS = np.zeros(256, np.int64)
_LETTERS[list(b"TDIWEF")] = np.arange(1, 7)
_BEFORE, _AFTER, _ENDS = np.zeros(256, np.bool_), np.zeros(256, np.bool_), np.zeros(256, np.bool_)
_BEFORE[list(b" \t\n\r\f\v[(<|:)")] = True
_ENDS[list(b":])>|-")] = True
_AFTER[list(b" \t\n\r\f\v])>|:,/-[!")] = True
_PAIRS = np.frombuffer(b"[]<>\t\t,,[|:]", np.uint8).reshape(-1, 2)
"""Marks before and after a name in brackets or in a row of fields."""


@loop
def _put_head(data: Bytes, start: Int, end: Int, head: Bytes) -> Int:
    """Copies the beginning of a message with each run of digits as one `0`; returns its size."""
    size = 0
    digit: Flag = False
    for at in range(start, end):
        byte = data[at]
        again = digit
        digit = 48 <= byte <= 57
        if digit:
            if again:
                continue
            byte = np.uint8(48)
        if size == LOOKED_AT:
            break
        head[size] = byte
        size += 1
    for i in range(size, size + 4):
        head[i] = 0
    return size


@loop
def _names_code(head: Bytes, size: Int) -> Flag:
    """Whether a place in code (`core/op.cc:0]`, `io.net.Pool`) or numbers and `] ` follow a letter and a space."""
    at: Int = 2
    parts: Int = 0
    while at < size and head[at] != 32 and head[at] != 93:
        parts += (
            (head[at] == 46 or head[at] == 47) and 97 <= head[at - 1] | 32 <= 122 and 97 <= head[at + 1] | 32 <= 122
        )
        at += 1
    if parts:
        return True
    at = 2
    while head[at] == 48 or head[at] == 32:
        at += 1
    return head[2] == 48 and head[at] == 93 and head[at + 1] == 32


@loop
def _letter_within(head: Bytes, first: Int) -> Int:
    """The level of a single letter at a place, 0 unless it is in bars, or in brackets between spaces."""
    level = np.int64(_LETTERS[head[first]])
    if level < 2 or first < 2:
        return ZERO
    before, after = head[first - 1], head[first + 1]
    if before == 124 and after == 124:
        return level
    return level if before == 91 and after == 93 and head[first - 2] == 32 and head[first + 2] == 32 else ZERO


@loop
def _letter(head: Bytes, size: Int) -> Int:
    """The level of the letter that a message begins with, 0 if that is not a level."""
    bracketed = head[0] == 91
    level = np.int64(_LETTERS[head[1] if bracketed else head[0]])
    if level == 0:
        return ZERO
    if bracketed:
        return level if head[2] == 93 and head[3] == 32 else ZERO
    if (head[1] == 33 and head[2] == 32) or (head[1] == 32 and head[2] == 91):
        return level
    if level < 3:
        return ZERO
    if head[1] == 32 and _names_code(head, size):
        return level
    if size < 18:
        return ZERO
    for i in range(10):
        if head[1 + i] != _KLOG[i]:
            return ZERO
    at = 11
    while head[at] == 32:
        at += 1
    if head[at] != 48 or head[at + 1] != 32:
        return ZERO
    first = at + 2
    at = first
    while at < size and head[at] != 32 and head[at] != 93:
        at += 1
    ends = at < size and at - first > 2 and head[at] == 93 and head[at + 1] == 32
    return level if ends and head[at - 1] == 48 and head[at - 2] == 58 else ZERO


@loop
def _word(head: Bytes, first: Int) -> tuple[Int, Int]:
    """The end of the word of letters that begins at a place, and its row in `_WORDS`, -1 if it has none."""
    low = high = np.uint64(0)
    at = first
    while 97 <= head[at] | 32 <= 122:
        if at - first < 8:
            low |= np.uint64(head[at] & 0xDF) << np.uint64(8 * (at - first))
        elif at - first < _LONGEST:
            high |= np.uint64(head[at] & 0xDF) << np.uint64(8 * (at - first - 8))
        at += 1
    if 3 <= at - first <= _LONGEST:
        for row in range(len(_WORDS)):
            if _WORDS[row, 0] == low and _WORDS[row, 1] == high:
                return at, row
    return at, -1


@loop
def _value(head: Bytes, at: Int) -> Int:
    """The place of a field's value, behind its name: `level=info`, `"level" : "info"`; -1 if it has none."""
    at += head[at] == 34
    at += head[at] == 32
    if head[at] != 61 and head[at] != 58:
        return -1
    at += 1
    at += head[at] == 32
    at += head[at] == 34
    return at if 97 <= head[at] | 32 <= 122 else -1


@loop
def _at_place_of_level(head: Bytes, first: Int, last: Int, uses: Int) -> Flag:
    """Whether a word is where names of levels are, and written as they are."""
    capitals = True
    for i in range(first, last):
        capitals &= head[i] < 97
    before = 32 if first == 0 else head[first - 1]
    after = head[last]
    if capitals and uses & _IS_CAPITALS and _AFTER[after] and (_BEFORE[before] or (before == 46 and after == 58)):
        return True
    behind = head[last + 1]
    if capitals and uses & _IS_CAPITALS and before == 34 and after == 34 and head[first - 2] == 44 and behind == 44:
        return True
    tag = after == 58 and head[last + 1] == 32
    if tag and uses & _IS_TAG and first > 1 and before == 32 and _ENDS[head[first - 2]]:
        return True
    if not uses & _IS_BRACKETED:
        return False
    for pair in range(len(_PAIRS)):
        if before == _PAIRS[pair, 0] and after == _PAIRS[pair, 1]:
            return True
    if before == 32 and after == 32 and (behind == 60 or (behind == 32 and first > 1 and _ENDS[head[first - 2]])):
        return True
    return before == 40 and after == 41 and behind == 58


@loop
def inner_level(data: Bytes, start: Int, end: Int, head: Bytes) -> Int:
    """The level of the message `data[start:end]` as index into `LEVEL_NAMES`, 0 if it has none.

    `head` is scratch: uint8 (HEAD_BYTES,).
    """
    size = _put_head(data, start, end, head)
    level: Int = _letter(head, size)
    if level:
        return level
    tag = name = letter = ZERO
    field: Flag = False
    lettered: Flag = False
    facility: Int = -2
    at: Int = ZERO
    while at < size:
        if not 97 <= head[at] | 32 <= 122:
            at += 1
            continue
        first = at
        at, row = _word(head, first)
        leading = not lettered
        lettered = lettered or first == 0 or head[first - 1] != 48  # the unit of a number, or digits of a hash
        if row < 0:
            if at == first + 1 and letter == 0:
                letter = _letter_within(head, first)
            continue
        level, uses = np.int64(_WORDS[row, 2]), np.int64(_WORDS[row, 3])
        if uses & _IS_FIELD and not field:
            place = _value(head, at)
            if place >= 0:
                field = True
                _, row = _word(head, place)
                if row >= 0 and _WORDS[row, 2]:
                    return np.int64(_WORDS[row, 2])
        if leading and uses & _IS_TAG:
            behind = at + (head[at] == 48)
            while head[behind] == 32:
                behind += 1
            if tag == 0 and head[behind] == 58 and head[behind + 1] == 32:
                tag = level
        if uses & _IS_FACILITY:
            facility = at + (head[at] == 48)
            continue
        of_syslog = (
            facility == first - 1 and head[facility] == 46 and (head[at] == 32 or head[at] == 58 or head[at] == 62)
        )
        if name == 0 and (of_syslog or _at_place_of_level(head, first, at, uses)):
            name = level
    if tag or name:
        return tag if tag else name
    return letter


_inner_level = entry(inner_level.py_func)


def level_within(message: bytes) -> str:
    """One of the six levels, or "": see `inner_level`."""
    found = _inner_level(padded(message), PAD, PAD + len(message), np.zeros(HEAD_BYTES, np.uint8))
    return LEVEL_NAMES[found]
