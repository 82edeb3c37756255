"""Drain3 with the settings of the parse step, and with the rule of `engine.parsing.antonyms`.

With that rule it is the reference for the clusters of the parse step.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from drain3 import TemplateMiner  # type: ignore[import-untyped]
from drain3.drain import Drain  # type: ignore[import-untyped]
from drain3.masking import MaskingInstruction  # type: ignore[import-untyped]
from drain3.template_miner_config import TemplateMinerConfig  # type: ignore[import-untyped]

from engine.parsing.antonyms import ANTONYMS
from engine.parsing.template_settings import TemplateSettings

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


def miner_of(rules: TemplateSettings, *, guarded: bool = False) -> TemplateMiner:
    """A new miner of Drain3 with the masks and settings of `rules`; `guarded`: with `GuardedDrain`."""
    config = TemplateMinerConfig()
    config.drain_sim_th, config.drain_depth = rules.similarity, rules.depth
    config.drain_max_children = rules.max_children
    config.masking_instructions = [MaskingInstruction(mask.pattern, mask.name) for mask in rules.masks]
    miner = TemplateMiner(config=config)
    if guarded:
        miner.drain = GuardedDrain(depth=rules.depth, sim_th=rules.similarity, max_children=rules.max_children)
    return miner
