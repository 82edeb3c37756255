"""Runs the programs of `engine.compiled.regex_program` over bytes: backtracking with a bound on its steps."""

import numpy as np

from engine.compiled.jit import loop
from engine.compiled.machine_types import Bytes, Flag, Flags, Int, Int32s, Int64s
from engine.compiled.regex_program import (
    CHAR,
    END,
    JUMP,
    LOOK,
    MANY,
    MANY_LAZY,
    MANY_POSSESSIVE,
    MAYBE_POSSESSIVE,
    SAVE,
    SPLIT,
    START,
    UNTIL,
    WORD_EDGE,
    bits,
)  # fmt: skip
from engine.compiled.regex_syntax import WORD
from engine.compiled.tables import A_DIGIT, ANCHORED, AT_WORDS, LEAST, MANNER, PLACE, RUNS, START_BYTE, WHOLE_WORDS
from engine.compiled.words import find_byte, find_digit

NO_MATCH = -1
GAVE_UP = -2
"""The line took too many steps; `re` has to be asked."""

STACK_ROWS = 4096
_FUEL = STACK_ROWS - 1
"""The row of the stack whose first column holds the steps that are left to a line."""

_STEPS, _STEPS_PER_BYTE = 20_000, 128
"""Steps of all matches of a line: a few thousand are usual, and no line costs more than is linear in its length."""
_RESUME, _GIVE_BACK, _TAKE_MORE, _RESTORE = 0, 1, 2, 3


_IS_WORD = np.array(bits(WORD), np.bool_)


@loop
def is_word(byte: Int) -> Flag:
    """Whether a byte is an ASCII letter, digit or underscore."""
    return _IS_WORD[byte]


@loop
def fill_up(stack: Int64s, size: Int) -> None:
    """Allows the matches that follow as many steps together as a line of that many bytes may cost."""
    stack[_FUEL, 0] = _STEPS + _STEPS_PER_BYTE * size


@loop
def match_at(
    code: Int32s,
    sets: Flags,
    place: Int,
    data: Bytes,
    begin: Int,
    stop: Int,
    at: Int,
    slots: Int64s,
    stack: Int64s,
) -> Int:
    """Matches a program at one place of `data[begin:stop]`.

    Takes:
        code, sets: See `ProgramTable.arrays`.
        place: The program's first instruction.
        data: Bytes.
        begin, stop: The text within them.
        at: Where the match has to begin.
        slots: Places of groups, -1 where they took no part; filled here, to be set to -1 before.
        stack: int64 (STACK_ROWS, 4), scratch; see `fill_up`.

    Returns:
        The end of the match, `NO_MATCH` or `GAVE_UP`.
    """
    depth = 0
    fuel = stack[_FUEL, 0]
    pc = place
    while True:
        fuel -= 1
        if fuel < 0 or depth > STACK_ROWS - 8:
            stack[_FUEL, 0] = fuel
            return GAVE_UP
        op = code[pc, 0]
        failed = False
        if op == CHAR:
            if at < stop and sets[code[pc, 1], data[at]]:
                at += 1
                pc += 1
            else:
                failed = True
        elif op == MANY_POSSESSIVE:
            number, low = code[pc, 1], at
            while at < stop and sets[number, data[at]]:
                at += 1
            fuel -= (at - low) >> 2
            pc += 1
        elif op == SAVE:
            slot = code[pc, 1]
            if depth > 0:
                stack[depth, 0], stack[depth, 1], stack[depth, 2] = _RESTORE, slot, slots[slot]
                depth += 1
            slots[slot] = at
            pc += 1
        elif op == SPLIT:
            one = code[pc, 3] < 0 or (at < stop and sets[code[pc, 3], data[at]])
            other = code[pc, 4] < 0 or (at < stop and sets[code[pc, 4], data[at]])
            if one:
                if other:
                    stack[depth, 0], stack[depth, 1], stack[depth, 2] = _RESUME, code[pc, 2], at
                    depth += 1
                pc = code[pc, 1]
            elif other:
                pc = code[pc, 2]
            else:
                failed = True
        elif op == UNTIL:
            low = at
            at = min(find_byte(data, at, stop, code[pc, 1]), stop)
            fuel -= (at - low) >> 5
            pc += 1
        elif op == JUMP:
            pc = code[pc, 1]
        elif op == MANY:
            number, low = code[pc, 1], at
            while at < stop and sets[number, data[at]]:
                at += 1
            fuel -= (at - low) >> 2
            pc += 1
            if at > low:
                stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 3] = _GIVE_BACK, pc, at - 1, low
                depth += 1
        elif op == MANY_LAZY:
            stack[depth, 0], stack[depth, 1], stack[depth, 2] = _TAKE_MORE, pc, at
            depth += 1
            pc += 1
        elif op == MAYBE_POSSESSIVE:
            if at < stop and sets[code[pc, 1], data[at]]:
                at += 1
            pc += 1
        elif op == START:
            failed = at != begin
            pc += 1
        elif op == END:
            failed = not (at == stop or (at == stop - 1 and data[at] == 10))
            pc += 1
        elif op == WORD_EDGE:
            before = at > begin and is_word(data[at - 1])
            after = at < stop and is_word(data[at])
            failed = before == after
            pc += 1
        elif op == LOOK:
            where = at - 1 if code[pc, 2] else at
            seen = begin <= where < stop and sets[code[pc, 1], data[where]]
            failed = seen == (code[pc, 3] == 1)
            pc += 1
        else:
            stack[_FUEL, 0] = fuel
            return at
        while failed:
            if depth == 0:
                stack[_FUEL, 0] = fuel
                return NO_MATCH
            depth -= 1
            kind = stack[depth, 0]
            if kind == _RESTORE:
                slots[stack[depth, 1]] = stack[depth, 2]
                continue
            pc, at = stack[depth, 1], stack[depth, 2]
            failed = False
            if kind == _GIVE_BACK:
                if at > stack[depth, 3]:
                    stack[depth, 2] = at - 1
                    depth += 1
            elif kind == _TAKE_MORE:
                if at < stop and sets[code[pc, 1], data[at]]:
                    stack[depth, 2] = at + 1
                    depth += 1
                    at += 1
                    pc += 1
                else:
                    failed = True


@loop
def _search_words(
    code: Int32s, sets: Flags, searches: Int64s, starts: Flags,
    number: Int, data: Bytes, begin: Int, stop: Int, at: Int, slots: Int64s,
    stack: Int64s,
) -> tuple[Int, Int]:  # fmt: skip
    """See `search`, for patterns that match whole words: only words that may match are tried."""
    place, least = searches[number, PLACE], searches[number, LEAST]
    if at > begin and is_word(data[at - 1]):
        while at < stop and is_word(data[at]):
            at += 1
    while at < stop:
        if not is_word(data[at]):
            at += 1
            continue
        first = at
        fits = starts[number, 0, data[at]]
        while at < stop and is_word(data[at]):
            fits &= starts[number, 2, data[at]]
            at += 1
        if fits and at - first >= least:
            end = match_at(code, sets, place, data, begin, stop, first, slots, stack)
            if end != NO_MATCH:
                return (GAVE_UP, GAVE_UP) if end == GAVE_UP else (first, end)
    return NO_MATCH, NO_MATCH


@loop
def search(
    code: Int32s, sets: Flags, searches: Int64s, starts: Flags,
    number: Int, data: Bytes, begin: Int, stop: Int, at: Int, slots: Int64s,
    stack: Int64s,
) -> tuple[Int, Int]:  # fmt: skip
    """The first match at or after a place of `data[begin:stop]`: start and end, or `NO_MATCH` or `GAVE_UP` twice.

    Takes:
        searches, starts: See `engine.compiled.tables.Tables`.
        number: Row of both.
        code, sets, data, begin, stop, at, slots, stack: See `match_at`.
    """
    place, manner, start = searches[number, PLACE], searches[number, MANNER], searches[number, START_BYTE]
    if manner == WHOLE_WORDS:
        first, end = _search_words(code, sets, searches, starts, number, data, begin, stop, at, slots, stack)
        return first, end
    while at < stop:
        if start >= 0:
            at = find_byte(data, at, stop, start)
        elif start == A_DIGIT:
            at = find_digit(data, at, stop)
        elif not starts[number, 0, data[at]]:
            at += 1
            continue
        if at >= stop:
            break
        if manner == RUNS:
            end = at + 1
            while end < stop and starts[number, 0, data[end]]:
                end += 1
            return at, end
        if manner == AT_WORDS and at > begin and is_word(data[at - 1]):
            while at < stop and is_word(data[at]):
                at += 1
            continue
        end = match_at(code, sets, place, data, begin, stop, at, slots, stack)
        if end != NO_MATCH:
            return (GAVE_UP, GAVE_UP) if end == GAVE_UP else (at, end)
        if manner == ANCHORED:
            break
        if starts[number, 1, data[at]]:
            while at < stop and starts[number, 1, data[at]]:
                at += 1
        else:
            at += 1
    return NO_MATCH, NO_MATCH
