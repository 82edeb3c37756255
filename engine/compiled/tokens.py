"""Splits masked messages into tokens, which are numbers from then on."""

import numpy as np

from engine.compiled.drain_tables import (
    ANTONYM,
    DIGIT,
    FIRST,
    LENGTH,
    LITERAL,
    LONGEST_WORD,
    TEXT_TOKENS,
    TOKEN_BYTES,
    TOKEN_HASH,
    TOKENS,
    WILDCARD,
    WORD_BEHIND_EQUALS,
    WORDS,
    DrainTables,
)
from engine.compiled.jit import loop
from engine.compiled.machine_types import ZERO, Bytes, Flag, Int, Int32s, Int64s
from engine.compiled.scan import hash_bytes


@loop
def _space(text: Bytes, at: Int, end: Int) -> Int:
    """Bytes of the white space at a place, 0 if it has none; white space is what `str.split` splits at."""
    byte = text[at]
    if byte < 128:
        return 1 if byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31 else 0
    if byte == 0xC2:
        return 2 if at + 1 < end and (text[at + 1] == 0x85 or text[at + 1] == 0xA0) else 0
    if at + 2 >= end:
        return 0
    second, third = text[at + 1], text[at + 2]
    if byte == 0xE1:
        return 3 if second == 0x9A and third == 0x80 else 0
    if byte == 0xE2:
        if second == 0x80:
            return 3 if third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF else 0
        return 3 if second == 0x81 and third == 0x9F else 0
    return 3 if byte == 0xE3 and second == 0x80 and third == 0x80 else 0


@loop
def _holds_digit(digits: Int64s, text: Bytes, start: Int, end: Int) -> Flag:
    """Whether a token holds a character for which `str.isdigit` is true; `digits` are those beyond ASCII."""
    at = start
    while at < end:
        byte = np.int64(text[at])
        if byte < 128:
            if 48 <= byte <= 57:
                return True
            at += 1
            continue
        size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        code = byte & (0x7F >> size)
        for i in range(at + 1, min(at + size, end)):
            code = code << 6 | (np.int64(text[i]) & 0x3F)
        low, high = 0, len(digits)
        while low < high:
            middle = (low + high) >> 1
            if digits[middle] == code:
                return True
            if digits[middle] < code:
                low = middle + 1
            else:
                high = middle
        at += size
    return False


@loop
def _find_token(
    table: Int32s, tokens: Int64s, bytes: Bytes, text: Bytes,
    start: Int, size: Int, hash: Int,
) -> Int:  # fmt: skip
    """The number of a token; -1 - its place in the hash table where it is new."""
    mask = len(table) - 1
    at = hash & mask
    while True:
        number = np.int64(table[at]) - 1
        if number < 0:
            return -1 - at
        if tokens[number, TOKEN_HASH] == hash and tokens[number, LENGTH] == size:
            first = tokens[number, FIRST]
            same = True
            for i in range(size):
                same &= bytes[first + i] == text[start + i]
            if same:
                return number
        at = (at + 1) & mask


@loop
def _plain(byte: Int) -> Flag:
    """Whether a byte may be around an antonym: it is not a letter, a digit or an equals sign."""
    return not (48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122 or byte == 61)


@loop
def _word_in(text: Bytes, start: Int, end: Int) -> tuple[Int, Int, Int]:
    """The place of the word in a token that may be an antonym, empty for none; whether it holds an equals sign."""
    equals = False
    for at in range(start, end):
        if text[at] == 47:  # /
            return 0, 0, False
        equals |= text[at] == 61
    last = end
    while last > start and _plain(text[last - 1]):
        last -= 1
    first = last
    while first > start and (65 <= text[first - 1] <= 90 or 97 <= text[first - 1] <= 122):
        first -= 1
    before = first
    while before > start and _plain(text[before - 1]):
        before -= 1
    if last - first > LONGEST_WORD or (before > start and text[before - 1] != 61):
        return 0, 0, False
    return first, last, equals


@loop
def intern(
    counts: Int64s, rules: Int64s, digits: Int64s, table: Int32s,
    tokens: Int64s, bytes: Bytes, word: Bytes, text: Bytes,
    start: Int, end: Int,
) -> Int:  # fmt: skip
    """The number of the token `text[start:end]`, which is kept if it is new."""
    hash = np.int64(hash_bytes(text, start, end))
    number = _find_token(table, tokens, bytes, text, start, end - start, hash)
    if number >= 0:
        return number
    at, number, place = -1 - number, counts[TOKENS], counts[TOKEN_BYTES]
    table[at] = number + 1
    for i in range(end - start):
        bytes[place + i] = text[start + i]
    counts[TOKENS] += 1
    counts[TOKEN_BYTES] += end - start
    tokens[number, TOKEN_HASH], tokens[number, FIRST], tokens[number, LENGTH] = hash, place, end - start
    tokens[number, DIGIT] = _holds_digit(digits, text, start, end)
    tokens[number, ANTONYM] = 0
    first, last, equals = _word_in(text, start, end)
    if first < last:
        size = last - first
        for i in range(size):
            byte = text[first + i]
            word[i] = byte + np.uint8(32) if byte <= 90 else byte
        found = _find_token(table, tokens, bytes, word, ZERO, size, np.int64(hash_bytes(word, ZERO, size)))
        if 1 <= found <= rules[WORDS] and (found != rules[WORD_BEHIND_EQUALS] or equals):
            tokens[number, ANTONYM] = found
    return number


@loop
def split(drain: DrainTables, text: Bytes, at: Int, end: Int, literal: Flag) -> tuple[Int, Int]:
    """Splits `text[at:end]` into tokens; returns the first in `text_tokens`, and their number.

    In a message (`literal`) a token `<*>` is a word like others. Drain3 takes it for a wildcard, which is equal to
    nothing, so that each such line makes a template.
    """
    counts, split = drain.counts, drain.text_tokens
    first = counts[TEXT_TOKENS]
    size = 0
    while at < end:
        space = _space(text, at, end)
        if space:
            at += space
            continue
        start = at
        while at < end and not _space(text, at, end):
            at += 1
        token = intern(
            counts, drain.rules, drain.unicode_digits, drain.token_table, drain.tokens, drain.token_bytes, drain.word,
            text, start, at,
        )  # fmt: skip
        split[first + size] = drain.rules[LITERAL] if literal and token == WILDCARD else token
        size += 1
    counts[TEXT_TOKENS] += size
    return first, size
