"""Regular expressions of users, which must not stop a worker on any text.

`re` cannot be interrupted and holds the interpreter's lock. The package `regex` understands the same patterns, and ends
a search after a given time. It is slower, so patterns of this project, whose cost is linear by test, run with `re`.
"""

import logging
import re
from typing import Any, Generic, TypeVar

from foundation.errors import DriftlineError

log = logging.getLogger(__name__)

LEAST_S = 0.05
"""CPU time that one text may cost, in seconds; a usual one takes a few microseconds."""

BYTE_S = 2e-6
"""CPU time that a byte of a longer text may cost, in seconds: forty times what a linear pattern needs."""

_LITERAL_BRACE = re.compile(r"(?<!\\)(?<!\\N)\{(?![0-9,])")
"""A brace that is itself to `re`, and to `regex` may begin an approximate match: `{e}` allows any errors."""

Text = TypeVar("Text", str, bytes)


class UserPatternError(DriftlineError, ValueError):
    """A text is not a regular expression."""


class BoundedPattern(Generic[Text]):
    """A compiled pattern; a text that takes too long counts as one without a match, and is logged.

    Attributes:
        overran: Texts that took too long.
    """

    def __init__(self, pattern: Text) -> None:
        """Compile a pattern.

        Raises:
            UserPatternError: it is not a regular expression.
        """
        import regex

        shown = pattern if isinstance(pattern, str) else pattern.decode("utf-8", "replace")
        try:
            re.compile(pattern)
            self._pattern: regex.Pattern[Text] = regex.compile(_exact(pattern))
        except (re.error, regex.error, OverflowError, RecursionError) as error:
            raise UserPatternError(f"{shown!r} is not a regular expression: {error}") from error
        self._shown = shown
        self.overran = 0

    def search(self, text: Text) -> Any:
        """The first match, as of `re`, or None."""
        try:
            return self._pattern.search(text, timeout=_limit_s(text))
        except TimeoutError:
            self._overran(text)
            return None

    def spans(self, text: Text) -> list[tuple[int, int]]:
        """Start and end of every match; none where the text takes too long."""
        try:
            return [match.span() for match in self._pattern.finditer(text, timeout=_limit_s(text))]
        except TimeoutError:
            self._overran(text)
            return []

    def replaced(self, text: Text, mark: Text) -> Text | None:
        """The text with `mark` in place of every match; None where it takes too long."""
        try:
            found: Text = self._pattern.sub(lambda _: mark, text, timeout=_limit_s(text))
        except TimeoutError:
            self._overran(text)
            return None
        return found

    def _overran(self, text: Text) -> None:
        self.overran += 1
        if str(self.overran).strip("0") == "1":  # 1, 10, 100 …: a hostile source must not fill the log
            log.warning(
                "the regular expression %r took more than %.2f s of CPU on a text of %d characters and was given up "
                "there (%d times so far)", self._shown, _limit_s(text), len(text), self.overran,
            )  # fmt: skip


def _exact(pattern: Text) -> Text:
    """The pattern without approximate matches, which `re` does not have."""
    if isinstance(pattern, str):
        return _LITERAL_BRACE.sub(r"\{", pattern)
    return _LITERAL_BRACE.sub(r"\{", pattern.decode("latin-1")).encode("latin-1")


def _limit_s(text: str | bytes) -> float:
    return max(LEAST_S, BYTE_S * len(text))
