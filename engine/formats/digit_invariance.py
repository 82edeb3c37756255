r"""Prove that a regular expression treats a run of digits as a unit, independently of its digits and length.

The parser answers a line from the answer it gave to another line that differs only inside its runs
of digits. That is exact only for expressions that do not distinguish such lines. `why_not_blind`
walks the parsed expression and accepts it where these rules hold (sufficient, not necessary):

- a character set holds all ten digits or none, and no literal is a digit;
- a set with digits occurs only under `+` or `*`, so that it can take a whole run;
- what follows such a repeat cannot start inside the run it took, so that backtracking never splits
  it (`[0-9]+[a-z]` is fine, `\w+[0-9]` is not);
- look-arounds test one character and fail inside a run: `(?<![A-Za-z0-9])` and `(?=[^0-9])` do,
  `(?<![A-Za-z])` does not;
- the expression cannot match the empty string at an arbitrary place.

Groups named in `exact` may count digits (`(?P<year>[0-9]{4})`): their user checks the
length of those runs for every line.
"""

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

_parser: Any = importlib.import_module("re._parser")
_UNBOUNDED = _parser.MAXREPEAT
_DIGITS = range(48, 58)
_WITH_DIGITS = {"CATEGORY_DIGIT", "CATEGORY_WORD", "CATEGORY_NOT_SPACE"}
_CHARACTER = {"LITERAL", "NOT_LITERAL", "IN", "ANY"}


class _DependsOnDigitsError(Exception):
    """The reason as text."""


@dataclass(frozen=True, slots=True)
class _After:
    """What may come next: a set with digits, or the unguarded end of the expression."""

    digit: bool
    end: bool

    def __or__(self, other: "_After") -> "_After":
        return _After(self.digit or other.digit, self.end or other.end)


_GUARDED = _After(False, False)


@dataclass(slots=True)
class _Walk:
    exact: dict[int, str]
    widths: dict[str, tuple[int, int]] = field(default_factory=dict)

    def sequence(self, nodes: Any, after: _After) -> _After:
        for node in reversed(list(nodes)):
            after = self.node(node, after)
        return after

    def node(self, node: Any, after: _After) -> _After:
        name, value = str(node[0]), node[1]
        if name in _CHARACTER:
            if _holds_digits(node):
                raise _DependsOnDigitsError("it matches a single digit: use + or * on sets that hold digits")
            return _GUARDED
        if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            return self.repeat(name, value, after)
        if name == "SUBPATTERN":
            return self.group(value, after)
        if name == "BRANCH":
            found = [self.sequence(branch, after) for branch in value[1]]
            return _After(any(f.digit for f in found), any(f.end for f in found))
        if name == "AT" and str(value) != "AT_NON_BOUNDARY":
            return _GUARDED
        if name in {"ASSERT", "ASSERT_NOT"}:
            _check_assertion(value[1], wanted=name == "ASSERT_NOT")
            return _GUARDED
        raise _DependsOnDigitsError(f"{name.lower()} is not understood here")

    def repeat(self, name: str, value: Any, after: _After) -> _After:
        low, high, body = value
        skipped = after if low == 0 else _GUARDED
        if len(body) == 1 and str(body[0][0]) in _CHARACTER:
            if not _holds_digits(body[0]):
                return skipped
            if low > 1 or high is not _UNBOUNDED:
                raise _DependsOnDigitsError("it counts characters of a set that holds digits")
            if after.digit:
                raise _DependsOnDigitsError("a set with digits follows another, so a run of digits could be split")
            if name == "MIN_REPEAT" and after.end:
                raise _DependsOnDigitsError("a lazy repeat at the end could stop inside a run of digits")
            return _After(True, False) | skipped
        once = self.sequence(body, after)
        if high == 1:
            return once | skipped
        return self.sequence(body, after | once) | skipped

    def group(self, value: Any, after: _After) -> _After:
        number, body = value[0], value[3]
        name = self.exact.get(number) if number is not None else None
        if name is None:
            return self.sequence(body, after)
        if len(body) != 1 or str(body[0][0]) != "MAX_REPEAT" or not _holds_digits(body[0][1][2][0]):
            raise _DependsOnDigitsError(f"group {name} must be one repeat of [0-9]")
        if after.digit:
            raise _DependsOnDigitsError(f"group {name} is followed by a set that holds digits")
        low, high, _ = body[0][1]
        self.widths[name] = (int(low), 1 << 30 if high is _UNBOUNDED else int(high))
        return _After(True, False)


def _matches(item: Any, code: int) -> bool:
    name, value = str(item[0]), item[1]
    if name == "LITERAL":
        return bool(code == value)
    if name == "NOT_LITERAL":
        return bool(code != value)
    if name == "RANGE":
        return bool(value[0] <= code <= value[1])
    if name == "CATEGORY":
        return str(value) in _WITH_DIGITS
    if name == "IN":
        negated = str(value[0][0]) == "NEGATE"
        return any(_matches(i, code) for i in value[1 if negated else 0 :]) is not negated
    return True


def _holds_digits(item: Any) -> bool:
    found = [_matches(item, code) for code in _DIGITS]
    if any(found) and not all(found):
        raise _DependsOnDigitsError("it distinguishes between digits")
    return found[0]


def _check_assertion(body: Any, *, wanted: bool) -> None:
    """Accepts a look-around that fails wherever the character it examines is a digit."""
    if len(body) == 1:
        name, value = str(body[0][0]), body[0][1]
        if name == "SUBPATTERN":
            return _check_assertion(value[3], wanted=wanted)
        if name == "BRANCH" and not wanted:
            for branch in value[1]:
                _check_assertion(branch, wanted=wanted)
            return None
        if name == "AT" and not wanted:
            return None
        if name in _CHARACTER and _holds_digits(body[0]) == wanted:
            return None
    raise _DependsOnDigitsError("a look-around could distinguish a digit from the next digit")


@lru_cache(maxsize=1024)
def why_not_blind(pattern: str | bytes, flags: int = 0) -> str | None:
    """The reason why `pattern` may depend on digits or on their number, or None if it cannot."""
    try:
        if _Walk({}).sequence(_parser.parse(pattern, flags), _After(False, True)).end:
            return "it can match the empty string"
    except _DependsOnDigitsError as reason:
        return str(reason)
    return None


@lru_cache(maxsize=1024)
def exact_widths(pattern: re.Pattern[bytes], exact: frozenset[str]) -> Mapping[str, tuple[int, int]]:
    """The least and greatest number of digits in each of the groups `exact` that `pattern` has.

    Raises:
        ValueError: the rest of the pattern is not blind to digits; the message gives the reason.
    """
    walk = _Walk({number: name for name, number in pattern.groupindex.items() if name in exact})
    try:
        walk.sequence(_parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE), _After(False, True))
    except _DependsOnDigitsError as reason:
        raise ValueError(f"the pattern {pattern.pattern!r} depends on digits: {reason}") from None
    return walk.widths
