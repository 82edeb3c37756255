"""Hashes session keys to 64 bits.

The hash spreads well and is equal in every process and release, since it is kept in recovery data
and used to route sessions. It is not cryptographic: a writer that can choose keys can make two
collide, and would then merge two sessions of its own source. With honest keys a million sessions collide
with a chance of about 3e-8.
"""

# Odd 64-bit constants of the multiply-xorshift finaliser of SplitMix64 (Steele et al. 2014).
SEED = 0x9E3779B97F4A7C15
MIX = 0xBF58476D1CE4E5B9
SPREAD = 0x94D049BB133111EB
_MASK = (1 << 64) - 1
_EMPTY = 0
"""`engine.records.NO_SESSION`."""


def hash_key(key: bytes) -> int:
    """The hash of one key as signed int64; 0 for the empty key, never for another."""
    if not key:
        return _EMPTY
    h = (len(key) * SEED) & _MASK
    for at in range(0, len(key), 8):
        h = ((h ^ int.from_bytes(key[at : at + 8], "little")) * MIX) & _MASK
        h ^= h >> 29
    h = (h * SPREAD) & _MASK
    h ^= h >> 31
    if h == _EMPTY:
        h = 1
    return h - (1 << 64) if h >> 63 else h
