"""Words that turn a message into its opposite, and a Drain that never merges two of them into one template.

"VM Started" and "VM Paused" differ in one token of two or three, which is less than what Drain takes
for a parameter. Here such words are literal: a message joins a template only if both have the same
ones at the same places, so no template ever has a wildcard in the place of such a word.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from drain3.drain import Drain  # type: ignore[import-untyped]

_WORDS = """
start starts started starting startup restart restarted restarting
stop stops stopped stopping shutdown halt halted halting terminate terminated terminating kill killed
pause paused pausing suspend suspended resume resumed resuming
up down on off
open opened opening close closed closing
connect connected connecting disconnect disconnected disconnecting
enable enabled enabling disable disabled disabling
activate activated active deactivate deactivated inactive idle
accept accepted reject rejected refuse refused deny denied allow allowed permitted forbidden grant granted revoked
success successful successfully succeed succeeded succeeds ok fail fails failed failing failure failures
error errors warning
valid invalid available unavailable reachable unreachable
online offline alive dead healthy unhealthy ready unready
create created creating delete deleted deleting remove removed removing add added adding
destroy destroyed destroying spawned
load loaded loading unload unloaded mount mounted unmount unmounted
lock locked unlock unlocked acquire acquired release released
attach attached detach detached register registered unregister unregistered
login logout increase increased decrease decreased gained lost
send sent sending receive received receiving read write reading writing
present missing found redirected limited
get head post put patch
=root
""".split()
OPPOSITES = frozenset(_WORDS)
"""Lower-case words. `=root` matches root only as a value (`user=root`), not as the actor."""

_WORD = re.compile(r"(?:^|=)[^A-Za-z0-9=]*([A-Za-z]+)[^A-Za-z0-9=]*$")
_NEVER_SIMILAR = (-1.0, -1)


@lru_cache(maxsize=65_536)
def opposite_in(token: str) -> str:
    """The word of `OPPOSITES` that a token is, or "": `Started,` and `state=started` are, `/started` is not."""
    found = _WORD.search(token)
    if found is None or "/" in token:
        return ""
    word = found[1].lower()
    return word if word in OPPOSITES or (f"={word}" in OPPOSITES and "=" in token) else ""


class GuardedDrain(Drain):  # type: ignore[misc]
    """Drain3's `Drain`, but a message and a template that differ in `opposite_in` of a token are not similar."""

    def get_seq_distance(self, seq1: Sequence[str], seq2: Sequence[str], include_params: bool) -> tuple[float, int]:
        """Similarity of a template and a message of the same number of tokens, and the template's wildcards."""
        for mine, its in zip(seq1, seq2, strict=True):
            if mine != its and opposite_in(mine) != opposite_in(its):
                return _NEVER_SIMILAR
        found: tuple[float, int] = super().get_seq_distance(seq1, seq2, include_params)
        return found
