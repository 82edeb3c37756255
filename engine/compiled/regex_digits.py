r"""Says whether a regular expression treats a run of digits as one thing, whatever its digits and length.

A line is answered from another one that differs only inside its runs of digits. That is exact for
expressions that do not distinguish such lines. These rules are sufficient for it, not necessary:

- a set holds all ten digits or none;
- a set with digits occurs only under `+` or `*`, so that it can take a whole run;
- what follows such a repeat cannot begin inside the run that it took, so that no run is ever split
  (`[0-9]+[a-z]` is fine, `\w+[0-9]` is not);
- look-arounds fail next to a digit of the same run: `(?<![A-Za-z0-9])` and `(?=[^0-9])` do,
  `(?<![A-Za-z])` does not;
- the expression cannot match the empty string anywhere.
"""

from dataclasses import dataclass

from engine.compiled.regex_syntax import (
    DIGITS,
    Capture,
    Chars,
    Choice,
    Edge,
    Expression,
    LookAround,
    PatternError,
    Repetition,
    Sequence,
)


@dataclass(frozen=True, slots=True)
class _After:
    """What may come next: a set with digits, or the end of the expression without an edge before it."""

    digit: bool
    end: bool

    def __or__(self, other: "_After") -> "_After":
        return _After(self.digit or other.digit, self.end or other.end)


_GUARDED = _After(False, False)


def why_digits_matter(node: Expression, *, searched: bool = True) -> str | None:
    """The reason why matches may depend on digits or on their number; None where they cannot.

    `searched`: whether matches may begin anywhere, and not only at the start of a text.
    """
    try:
        if _walk(node, _After(False, True)).end and searched:
            return "it can match the empty string"
    except PatternError as reason:
        return str(reason)
    return None


def _holds_digits(characters: int) -> bool:
    if characters & DIGITS not in (0, DIGITS):
        raise PatternError("it distinguishes between digits")
    return bool(characters & DIGITS)


def _walk(node: Expression, after: _After) -> _After:
    """What may come first where the node is followed by `after`."""
    if isinstance(node, Chars):
        if _holds_digits(node.set):
            raise PatternError("it matches a single digit: use + or * on sets that hold digits")
        return _GUARDED
    if isinstance(node, Sequence):
        for item in reversed(node.items):
            after = _walk(item, after)
        return after
    if isinstance(node, Capture):
        return _walk(node.body, after)
    if isinstance(node, Choice):
        found = [_walk(option, after) for option in node.options]
        return _After(any(f.digit for f in found), any(f.end for f in found))
    if isinstance(node, Repetition):
        return _repeat(node, after)
    if isinstance(node, Edge):
        return _GUARDED
    return _look(node)


def _look(node: LookAround) -> _After:
    if _holds_digits(node.set) != node.negative:
        raise PatternError("a look-around could distinguish a digit from the next digit")
    return _GUARDED


def _repeat(node: Repetition, after: _After) -> _After:
    skipped = after if node.low == 0 else _GUARDED
    body = node.body
    while isinstance(body, Capture):
        body = body.body
    if isinstance(body, Chars):
        if not _holds_digits(body.set):
            return skipped
        if node.low > 1 or node.high is not None:
            raise PatternError("it counts characters of a set that holds digits")
        if after.digit:
            raise PatternError("a set with digits follows another, so a run of digits could be split")
        if node.mode == "lazy" and after.end:
            raise PatternError("a lazy repeat at the end could stop inside a run of digits")
        return _After(True, False) | skipped
    once = _walk(body, after)
    if node.high == 1:
        return once | skipped
    return _walk(body, after | once) | skipped
