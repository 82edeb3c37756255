"""The templates of one source by number, with their properties.

A number identifies a template, not its text. Drain's cluster keeps its number while its text widens, so a widened
template is its own ancestor. Clusters whose texts differ only in tokens that look like ids share one number, because
otherwise every line with an id that a mask missed would be new. Requests are numbered by method, path and status,
regardless of the agent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.findings.base import State
from engine.findings.prior import MAX_SEVERITY, judge
from engine.formats.http_status import NAMES

_STATUS = re.compile("<(?:" + "|".join(name for name in NAMES if name) + ")>")
_REQUEST = re.compile(r'"(\S+) ([^" ?]*)[^"]*" (\S+)')
_MASK = re.compile(r"<[A-Za-z_*]+>")
_WORDS = re.compile(r"[A-Za-z_]{2,}")
_ID_LIKE = re.compile(r"\d|[A-Z]{3}[a-z]+[A-Z]|[a-z][A-Z]{2,}[a-z]+[A-Z]")
_MAX_CHILDREN = 30
"""Different names below one folder of a path; further ones count as ids."""
_COMMON = 400
"""A word in more templates than this does not show which are alike."""


@dataclass(slots=True)
class Template:
    """One template.

    Attributes:
        text: The text as it was first seen.
        severity, kind, why: See `engine.findings.prior.Judgement`.
        strangeness: See `engine.findings.base.TemplateLookup.strangeness`.
        first_row, first_ns: Number and time of its first line.
        known_as: How many clusters or requests share the number.
    """

    text: str
    severity: float
    kind: str
    why: str
    strangeness: float
    level: int
    first_row: int
    first_ns: int


def canonical(text: str) -> str:
    """The words of a template with `*` for every word that holds a mask, a digit or looks like an id."""
    words: list[str] = []
    for word in text.split():
        if _STATUS.fullmatch(word) is None and (_MASK.search(word) or _ID_LIKE.search(word)):
            stem = _MASK.sub("*", word)
            # `code=<NUM>` and `port=<NUM>` are different words, `<HEX>F<NUM>:` and `<NUM>:` are the same one.
            word = stem if re.fullmatch(r"[a-z_.\-/\[(]{3,}[=:\[(*][^A-Za-z]*", stem) else "*"
        if word == "*" and words and words[-1] == "*":
            continue
        words.append(word)
    return " ".join(words)


def with_status(text: str, name: str) -> str:
    """A template with this HTTP status behind it, and without the words that hold another one."""
    return " ".join([*(word for word in text.split() if not _STATUS.search(word)), f"<{name}>"])


class Paths:
    """Shortens paths of requests: numbers, and names of which there are too many, become `*`."""

    def __init__(self, state: State | None = None) -> None:
        self._children: dict[str, set[str]] = {k: set(v) for k, v in (state or {}).items()}

    def shorten(self, path: str) -> str:
        """The path with names that look like ids replaced by `*`."""
        kept: list[str] = []
        for name in path.split("/")[:8]:
            if _MASK.search(name) or _ID_LIKE.search(name):
                name = _MASK.sub("*", name) if len(_MASK.sub("", name)) > 2 and "." in name else "*"
            parent = "/".join(kept)
            known = self._children.setdefault(parent, set()) if len(self._children) < 5000 else set()
            if name not in known:
                if len(known) >= _MAX_CHILDREN:
                    name = "*"
                else:
                    known.add(name)
            kept.append(name)
        return "/".join(kept)

    def snapshot(self) -> State:
        """The state."""
        return {parent: sorted(names) for parent, names in self._children.items()}


class TemplateTable:
    """All templates of a source.

    Attributes:
        all: The templates by number.
    """

    def __init__(self, state: State | None = None) -> None:
        self.all: list[Template] = []
        self._numbers: dict[str, int] = {}
        self._by_word: dict[str, list[int]] = {}
        self._words: list[frozenset[str]] = []
        self._severity = np.zeros(64)
        self._status = np.zeros(64, np.int64)
        self._paths = Paths((state or {}).get("paths"))
        for name, fields in (state or {}).get("templates", ()):
            self._add(name, Template(*fields))

    def __len__(self) -> int:
        return len(self.all)

    def number(
        self, text: str, level: int, row: int, time_ns: int, *, http: bool, component: str, example: str,
        status: str = "",
    ) -> int:  # fmt: skip
        """The number of a template that a line was just found to have.

        Args:
            text: Drain's template, or the masked text of a request.
            level: Level of the line.
            row: Number of the line.
            time_ns: Time of the line.
            http: Whether the text is a request with its status.
            component: Program or logger of the line.
            example: The line's message.
            status: Name of an HTTP status at the end of the text, where it does not hold a request itself.
        """
        request = _REQUEST.match(text) if http else None
        if request is not None:
            status = request[3] if _STATUS.fullmatch(request[3]) else ""
            text = f"{request[1]} {self._paths.shorten(request[2])} {request[3]}"
        name = f"{component if not http else ''}\x1f{text if request else canonical(text)}"
        known = self._numbers.get(name)
        if known is not None:
            return known
        judged = judge(text if request else example, level, component, status=status)
        words = frozenset(word.lower() for word in _WORDS.findall(_MASK.sub(" ", text))) | {f"\x1f{component}"}
        if status:
            words |= {status}
        template = Template(
            text, judged.severity, judged.kind, judged.why, self._strangeness(words), level, row, time_ns
        )
        return self._add(name, template)

    def _add(self, name: str, template: Template) -> int:
        number = len(self.all)
        self.all.append(template)
        self._numbers[name] = number
        component = name.partition("\x1f")[0]
        words = frozenset(word.lower() for word in _WORDS.findall(_MASK.sub(" ", template.text))) | {f"\x1f{component}"}
        statuses = _STATUS.findall(template.text)
        words |= set(statuses)
        self._words.append(words)
        for word in words:
            self._by_word.setdefault(word, []).append(number)
        if number == len(self._severity):
            self._severity = np.concatenate((self._severity, np.zeros_like(self._severity)))
            self._status = np.concatenate((self._status, np.zeros_like(self._status)))
        self._severity[number] = template.severity
        self._status[number] = NAMES.index(statuses[-1][1:-1]) if statuses else 0
        return number

    def _strangeness(self, words: frozenset[str]) -> float:
        if not words or not self.all:
            return 1.0
        shared: dict[int, int] = {}
        for word in words:
            numbers = self._by_word.get(word, ())
            if len(numbers) <= _COMMON:
                for number in numbers:
                    shared[number] = shared.get(number, 0) + 1
        best = max((n / len(words | self._words[i]) for i, n in shared.items()), default=0.0)
        return 1.0 - best

    def weight(self, keys: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """See `engine.findings.base.TemplateLookup`."""
        weights: NDArray[np.float64] = 4.0 ** (self._severity[keys] - MAX_SEVERITY / 4)
        return weights

    def status(self, keys: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """See `engine.findings.base.TemplateLookup`."""
        statuses: NDArray[np.int64] = self._status[keys]
        return statuses

    def severity(self, key: int) -> float:
        """See `engine.findings.base.TemplateLookup`."""
        return self.all[key].severity if key >= 0 else 0.0

    def strangeness(self, key: int) -> float:
        """See `engine.findings.base.TemplateLookup`."""
        return self.all[key].strangeness

    def snapshot(self) -> State:
        """The state."""
        fields = ("text", "severity", "kind", "why", "strangeness", "level", "first_row", "first_ns")
        rows = [(n, tuple(getattr(self.all[i], f) for f in fields)) for n, i in self._numbers.items()]
        return {"templates": rows, "paths": self._paths.snapshot()}


Known = Mapping[int, Template]
