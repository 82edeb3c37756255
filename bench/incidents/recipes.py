"""How an incident is written into a log: four ways, and the vocabulary they use.

A recipe says *what* happens; its strength, its span and its place come from the kind
(`bench.incidents.kinds`).
"""

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Saying:
    """One thing that a program may say.

    Attributes:
        text: The message; names in braces are filled by `SayingValues`.
        level: As the system writes it, "" where lines have no level.
        source: Component, logger, thread or host, as the system's `write` expects.
        fields: Further columns of a structured line.
    """

    text: str
    level: str = ""
    source: str = ""
    fields: Mapping[str, str | int | float] | None = None


@dataclass(frozen=True, slots=True)
class Insert:
    """New lines: every event is one of `events`, written as a sequence of lines."""

    events: tuple[tuple[Saying, ...], ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """More lines of a template that the log already has.

    Attributes:
        pattern: Which lines of the past are copied, with a new time.
        change: Applied to the copied line, for example to name one host.
    """

    pattern: re.Pattern[str]
    change: Callable[[Random, str], str] = lambda rng, line: line


@dataclass(frozen=True, slots=True)
class Edit:
    """Existing lines with other values.

    Attributes:
        pattern: Which lines; its groups are given to `change`.
        change: The edited line, for the match and the factor of the size.
    """

    pattern: re.Pattern[str]
    change: Callable[[Random, re.Match[str], float], str]


@dataclass(frozen=True, slots=True)
class Stop:
    """A periodic line that stops."""

    pattern: re.Pattern[str]


Recipe = Insert | Repeat | Edit | Stop


class SayingValues(dict[str, str]):
    """Values for the names in a saying: those of one incident stay the same, all others are drawn.

    Names that end with `_` are drawn once: `{ip_}` is the attacker, `{ip}` anyone.
    """

    def __init__(self, rng: Random) -> None:
        super().__init__()
        self._rng = rng

    def __missing__(self, name: str) -> str:
        value = _draw(self._rng, name.rstrip("_"))
        if name.endswith("_"):
            self[name] = value
        return value

    def fill(self, text: str) -> str:
        """The text with every name in braces replaced."""
        return string.Formatter().vformat(text, (), self)


def _draw(rng: Random, name: str) -> str:
    match name:
        case "ip":
            return f"{rng.randint(11, 220)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
        case "lan":
            return f"10.0.{rng.randint(0, 9)}.{rng.randint(1, 254)}"
        case "hex":
            return f"{rng.getrandbits(64):016x}"
        case "uuid":
            word = f"{rng.getrandbits(128):032x}"
            return "-".join((word[:8], word[8:12], word[12:16], word[16:20], word[20:]))
        case "block":
            return f"blk_{rng.choice(('', '-'))}{rng.randint(10**18, 9 * 10**18)}"
        case "port" | "pid":
            return str(rng.randint(1024, 61_000))
        case "small":
            return str(rng.randint(1, 9))
        case "user":
            return rng.choice(("root", "admin", "test", "oracle", "postgres", "ubuntu", "git", "guest"))
        case "n":
            return str(rng.randint(10, 99_999))
    raise ValueError(f"a saying uses the unknown name {name!r}")
