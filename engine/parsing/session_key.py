"""Hashes session keys to 64 bits, a batch at a time or one by one with the same result.

The hash spreads well and is equal in every process and release, since it is kept in recovery data
and used to route sessions. It is not cryptographic: a writer that can choose keys can make two
collide, and would then merge two sessions of its own source. With honest keys a million sessions collide
with a chance of about 3e-8.
"""

import numpy as np
from numpy.typing import NDArray

from engine.parsing.skeleton import PAD, Words
from engine.records import NO_SESSION

MAX_VECTOR_BYTES = PAD
"""Longer keys are hashed one by one: loads may reach this far behind the last line."""

# Odd 64-bit constants of the multiply-xorshift finaliser of SplitMix64 (Steele et al. 2014).
_SEED = 0x9E3779B97F4A7C15
_M1 = 0xBF58476D1CE4E5B9
_M2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def hash_key(key: bytes) -> int:
    """The hash of one key as signed int64; `NO_SESSION` for the empty key, never for another."""
    if not key:
        return NO_SESSION
    h = (len(key) * _SEED) & _MASK
    for at in range(0, len(key), 8):
        h = ((h ^ int.from_bytes(key[at : at + 8], "little")) * _M1) & _MASK
        h ^= h >> 29
    h = (h * _M2) & _MASK
    h ^= h >> 31
    if h == NO_SESSION:
        h = 1
    return h - (1 << 64) if h >> 63 else h


def hash_keys(words: Words, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 (n,): `hash_key` of the bytes [start, end) of a padded blob, none above `MAX_VECTOR_BYTES`."""
    length = (end - start).astype(np.uint64)
    if len(length) == 0:
        return np.zeros(0, np.int64)
    shortest, longest = int(length.min()), int(length.max())
    h = length * np.uint64(_SEED)
    for at in range(0, longest, 8):
        word = words.at(start + at)
        if at + 8 > shortest:
            left = np.clip(length.astype(np.int64) - at, 0, 8).astype(np.uint64)
            drop = (np.uint64(8) - left) * np.uint64(8)
            partial = drop > 0
            np.minimum(drop, np.uint64(63), out=drop)
            word = np.where(partial, word << drop >> drop, word)
        mixed = (h ^ word) * np.uint64(_M1)
        mixed ^= mixed >> np.uint64(29)
        h = mixed if at < shortest else np.where(length > at, mixed, h)
    h = h * np.uint64(_M2)
    h ^= h >> np.uint64(31)
    h[h == NO_SESSION] = 1
    h[length == 0] = NO_SESSION
    return h.view(np.int64)
