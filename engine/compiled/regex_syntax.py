r"""Reads regular expressions in Python's syntax into a tree, as far as `engine.compiled.regex_program` runs them.

It supports characters, sets, `.`, alternatives, groups (named or not), repeats (greedy, lazy,
possessive), `^`, `$`, `\b`, and look-arounds of one character. Anything else, such as references back
to a group, raises `PatternError`; such a pattern is left to the module `re`.

Expressions are matched against bytes. Those that were written for text (`text=True`) are exact for
ASCII text only, and mean in it what `re` means: `\s` is wider there than for bytes.
"""

import string
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from foundation.errors import DriftlineError


class PatternError(DriftlineError):
    """The expression uses something that is not understood here; the message names it."""


def charset(characters: Iterable[int]) -> int:
    """A set of byte values as the bits of a number."""
    found = 0
    for character in characters:
        found |= 1 << character
    return found


EVERY = (1 << 256) - 1
DIGITS = charset(string.digits.encode())
WORD = charset((string.ascii_letters + string.digits + "_").encode())
_SPACE = charset(b" \t\n\r\f\v")
_TEXT_SPACE = _SPACE | charset(b"\x1c\x1d\x1e\x1f")
_NEWLINE = charset(b"\n")

Mode = Literal["greedy", "lazy", "possessive"]


@dataclass(frozen=True, slots=True)
class Chars:
    """One byte of a set."""

    set: int


@dataclass(frozen=True, slots=True)
class Repetition:
    """A part from `low` to `high` times; None: without bound."""

    body: "Expression"
    low: int
    high: int | None
    mode: Mode


@dataclass(frozen=True, slots=True)
class Capture:
    """A part whose place is wanted if it has a name."""

    body: "Expression"
    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The first option that leads to a match."""

    options: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Sequence:
    """Parts one after the other."""

    items: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class LookAround:
    """The next byte (or the one before) is of a set; with `negative`, it is not, or is missing."""

    set: int
    behind: bool
    negative: bool


@dataclass(frozen=True, slots=True)
class Edge:
    """The start of the text, its end (or before a last line end), or the edge of a word."""

    kind: Literal["start", "end", "word"]


Expression = Chars | Repetition | Capture | Choice | Sequence | LookAround | Edge


def parse(pattern: bytes, *, text: bool = False, dotall: bool = False) -> Expression:
    """The tree of an expression.

    Args:
        pattern: The expression; UTF-8 where it was written for text.
        text: Whether it was written for text.
        dotall: Whether `.` matches line ends.

    Raises:
        PatternError: the expression is not understood.
    """
    if not pattern.isascii():
        raise PatternError("characters beyond ASCII are not understood here")
    reader = _Reader(pattern.decode("ascii"), _TEXT_SPACE if text else _SPACE, EVERY if dotall else EVERY ^ _NEWLINE)
    found = reader.choice()
    if reader.at < len(reader.pattern):
        raise PatternError(f"unbalanced {reader.pattern[reader.at]!r}")
    return found


_ESCAPES = {"n": 10, "t": 9, "r": 13, "f": 12, "v": 11, "a": 7, "0": 0}


@dataclass(slots=True)
class _Reader:
    pattern: str
    space: int
    dot: int
    at: int = 0

    def peek(self, text: str) -> bool:
        return self.pattern.startswith(text, self.at)

    def take(self, text: str) -> bool:
        if self.peek(text):
            self.at += len(text)
            return True
        return False

    def next(self) -> str:
        if self.at == len(self.pattern):
            raise PatternError("the expression ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def choice(self) -> Expression:
        options = [self.sequence()]
        while self.take("|"):
            options.append(self.sequence())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def sequence(self) -> Expression:
        items: list[Expression] = []
        while self.at < len(self.pattern) and not (self.peek("|") or self.peek(")")):
            items.append(self.repeats(self.atom()))
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def atom(self) -> Expression:
        character = self.next()
        if character == "(":
            return self.group()
        if character == "[":
            return Chars(self.set())
        if character == ".":
            return Chars(self.dot)
        if character == "^":
            return Edge("start")
        if character == "$":
            return Edge("end")
        if character == "\\":
            if self.take("b"):
                return Edge("word")
            return Chars(self.escape())
        if character in "*+?":
            raise PatternError(f"nothing to repeat before {character!r}")
        return Chars(1 << ord(character))

    def group(self) -> Expression:
        name = ""
        if self.take("?"):
            for mark, behind, negative in (
                ("=", False, False),
                ("!", False, True),
                ("<=", True, False),
                ("<!", True, True),
            ):
                if self.take(mark):
                    return self.look(behind, negative)
            if self.take("P<"):
                end = self.pattern.index(">", self.at)
                name, self.at = self.pattern[self.at : end], end + 1
            elif not self.take(":"):
                raise PatternError(f"(?{self.next()} is not understood here")
        body = self.choice()
        self.close()
        return Capture(body, name)

    def look(self, behind: bool, negative: bool) -> Expression:
        body = self.choice()
        self.close()
        while isinstance(body, Capture) and not body.name:
            body = body.body
        if not isinstance(body, Chars):
            raise PatternError("a look-around of anything but one character is not understood here")
        return LookAround(body.set, behind, negative)

    def close(self) -> None:
        if not self.take(")"):
            raise PatternError("a group is not closed")

    def repeats(self, body: Expression) -> Expression:
        bounds = self.bounds()
        if bounds is None:
            return body
        mode: Mode = "lazy" if self.take("?") else "possessive" if self.take("+") else "greedy"
        if self.bounds() is not None:
            raise PatternError("a repeat of a repeat")
        return Repetition(body, *bounds, mode)

    def bounds(self) -> tuple[int, int | None] | None:
        for mark, low, high in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self.take(mark):
                return low, high
        end = self.pattern.find("}", self.at)
        if not self.peek("{") or end < 0:
            return None
        first, comma, last = self.pattern[self.at + 1 : end].partition(",")
        if not (first + last).isdecimal():
            return None
        self.at = end + 1
        return int(first or 0), (int(last) if last else None) if comma else int(first)

    def escape(self) -> int:
        character = self.next()
        classes = {"d": DIGITS, "w": WORD, "s": self.space}
        if character in classes:
            return classes[character]
        if character.lower() in classes:
            return EVERY ^ classes[character.lower()]
        if character == "x":
            return 1 << int(self.next() + self.next(), 16)
        if character in _ESCAPES:
            return 1 << _ESCAPES[character]
        if character.isalnum():
            raise PatternError(f"\\{character} is not understood here")
        return 1 << ord(character)

    def set(self) -> int:
        negated, found, first = self.take("^"), 0, True
        while first or not self.take("]"):
            first = False
            low = self.item()
            if low.bit_count() == 1 and self.peek("-") and not self.peek("-]"):
                self.at += 1
                high = self.item()
                if high.bit_count() != 1 or high < low:
                    raise PatternError("a range needs two characters in ascending order")
                low = (high << 1) - low
            found |= low
        return EVERY ^ found if negated else found

    def item(self) -> int:
        character = self.next()
        return self.escape() if character == "\\" else 1 << ord(character)
