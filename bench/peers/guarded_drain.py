"""Drain3 with the rule of `engine.parsing.antonyms`: the reference for the clusters of the parse step."""

import re
from collections.abc import Sequence
from functools import lru_cache

from drain3.drain import Drain  # type: ignore[import-untyped]

from engine.parsing.antonyms import ANTONYMS

_NEVER_SIMILAR = (-1.0, -1)
_WORD = re.compile(r"(?:^|=)[^A-Za-z0-9=]*([A-Za-z]+)[^A-Za-z0-9=]*$")


@lru_cache(maxsize=65_536)
def antonym_in(token: str) -> str:
    """The word of `ANTONYMS` that a token is, or "": `Started,` and `state=started` are, `/started` is not."""
    found = _WORD.search(token)
    if found is None or "/" in token:
        return ""
    word = found[1].lower()
    return word if word in ANTONYMS or (f"={word}" in ANTONYMS and "=" in token) else ""


class GuardedDrain(Drain):  # type: ignore[misc]
    """Drain3's `Drain`, but a message and a template that differ in `antonym_in` of a token are not similar."""

    def get_seq_distance(self, seq1: Sequence[str], seq2: Sequence[str], include_params: bool) -> tuple[float, int]:
        """Similarity of a template and a message of the same number of tokens, and the template's wildcards."""
        for mine, its in zip(seq1, seq2, strict=True):
            if mine != its and antonym_in(mine) != antonym_in(its):
                return _NEVER_SIMILAR
        found: tuple[float, int] = super().get_seq_distance(seq1, seq2, include_params)
        return found
