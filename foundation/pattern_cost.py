"""What a regular expression of a user costs on text made to be slow for it.

Python's `re` cannot be interrupted, so patterns are tried in a process of their own. Texts repeat what the pattern
itself mentions, which is what makes it backtrack. A pattern that passes can still be slow on a text that is not tried.
"""

import json
import math
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import product

MOST_S = 2e-6
"""CPU time that a byte may cost, in seconds: forty times what a linear pattern needs. A quadratic pattern takes as much
from about 500 bytes on."""

SIZES = (24, 28, 1 << 10, 1 << 14)
"""Lengths of the texts in characters; the short ones find exponential patterns. The longest is that of the longest
message from which templates are mined."""

LIMIT_S = 4
"""CPU time after which the trial of a pattern is ended, in whole seconds; it is exponential then."""

_OTHERS = ("0", "a", " ", "/", ":", ".")
_MOST_UNITS = 40


def slow_patterns(patterns: Sequence[str]) -> dict[str, str]:
    """The patterns that take more than linear time, each with a sentence.

    Raises:
        OSError: no process can be started, or it ended before it had tried all patterns.
    """
    if not patterns:
        return {}
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        output, _ = child.communicate(json.dumps([LIMIT_S, *patterns]))
    lines = [json.loads(line) for line in output.splitlines()]
    ended = child.returncode == -signal.SIGXCPU and bool(lines)
    if child.returncode and not ended:
        raise ChildProcessError(f"patterns cannot be tried: their process ended with status {child.returncode}")
    slow = {pattern: sentence for pattern, sentence in lines if sentence}
    if ended:
        slow[lines[-1][0]] = f"takes more than {LIMIT_S} s"
    return slow


def cost(pattern: str) -> str:
    """A sentence about the text on which a pattern takes too long; "" where none is found."""
    compiled = re.compile(pattern)
    for size in SIZES:
        for prefix, unit, suffix in _texts(pattern):
            text = prefix + unit * (size // len(unit)) + suffix
            took_s = min(_seconds(compiled, text), _seconds(compiled, text))
            if took_s > MOST_S * max(size, 2_000):
                return f"takes {took_s * 1e3:,.0f} ms on {len(text):,} characters that repeat {unit!r}"
    return ""


def _texts(pattern: str) -> Iterator[tuple[str, str, str]]:
    """Beginning, repeated piece and end of texts."""
    letters = [c for c in dict.fromkeys(re.sub(r"\\[a-zA-Z]|[\\^$*+?{}()|]", "", pattern)) if c not in "[]"]
    words = re.findall(r"[A-Za-z0-9_./:=@-]{2,}", pattern)
    units = list(dict.fromkeys((*letters, *_OTHERS, *words, *(a + b for a, b in product(letters[:5], repeat=2)))))
    for unit in units[:_MOST_UNITS]:
        yield "", unit, "\x01"
        yield words[0] if words else "", unit, "!"


def _seconds(pattern: re.Pattern[str], text: str) -> float:
    started = time.thread_time()
    pattern.sub("", text)
    return time.thread_time() - started


def _main() -> None:
    limit_s, *patterns = json.load(sys.stdin)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    for pattern in patterns:
        # CPU time, since a busy machine must not refuse a good pattern; the signal ends `re` where nothing else can.
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + limit_s, hard))
        print(json.dumps([pattern, ""]), flush=True)  # named before it is tried, and with what was found
        print(json.dumps([pattern, cost(pattern)]), flush=True)


if __name__ == "__main__":
    _main()
