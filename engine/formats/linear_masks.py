"""Built-in masks in a form whose cost is linear in the length of any message.

Python's `re` tries a pattern at every place. One that begins with a run of characters (`[0-9]+ bytes`) or that
looks for a far end (`/[^ ]+ HTTP/`) then reads the same run again from each of its characters: 16,000 digits take
half a second. Each pattern here finds the same matches, but begins only where a run does, or matches as `skip`
the text in which the original has no match. The settings, and so the saved states, keep the short originals.
"""

import re
from collections.abc import Callable, Mapping

SKIP = "skip"
"""Group that a match has instead of being replaced."""

_IP = r"\.[0-9]+\.[0-9]+\.[0-9]+"
_RUN_START = "[0-9](?<![0-9][0-9])[0-9]*"
_NAME = "[A-Za-z0-9_.-]"

LINEAR: Mapping[str, str] = {
    rf"/?[0-9]+{_IP}(?::[0-9]+)?": rf"/?{_RUN_START}{_IP}(?::[0-9]+)?",
    rf"[0-9]+{_IP},[0-9.]+": rf"{_RUN_START}{_IP},[0-9.]+",
    r"[0-9]+ bytes(?: \([0-9.]+ [KMG]B\))?": rf"{_RUN_START} bytes(?: \([0-9.]+ [KMG]B\))?",
    rf"{_NAME}+:[0-9]+ (?=[a-z])": rf"{_NAME}(?<!{_NAME}{_NAME}){_NAME}*:[0-9]+ (?=[a-z])",
    r"/[^ ]+ HTTP/[0-9]+\.[0-9]+": rf"/[^ ]+ HTTP/[0-9]+\.[0-9]+|(?P<{SKIP}>/[^ ]*)",
    r"Surface\(name=[^)]*\)": rf"Surface\(name=[^)]*\)|(?P<{SKIP}>Surface\(name=(?s:.*))",
    r"ComponentInfo\{[^}]*\}": rf"ComponentInfo\{{[^}}]*\}}|(?P<{SKIP}>ComponentInfo\{{(?s:.*))",
    r"ws=(?:null|WorkSource\{[^}]*\})": rf"ws=(?:null|WorkSource\{{[^}}]*\}})|(?P<{SKIP}>ws=WorkSource\{{(?s:.*))",
}
"""Pattern of a built-in mask → the pattern that is run."""


def replacing(pattern: re.Pattern[str], mark: str) -> Callable[[str], str]:
    """Return a function that replaces each match in a text by `mark`, except those of `SKIP`."""
    if SKIP not in pattern.groupindex:
        template = mark.replace("\\", r"\\")
        return lambda text: pattern.sub(template, text)

    def replace(match: re.Match[str]) -> str:
        return mark if match[SKIP] is None else match[0]

    return lambda text: pattern.sub(replace, text)


def spans(pattern: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    """Places of the matches that are replaced."""
    return [match.span() for match in pattern.finditer(text) if match.lastgroup != SKIP]
