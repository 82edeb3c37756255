"""Masks: what is replaced in a message before templates are mined from it."""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.formats.http_status import name_status, status_place
from engine.formats.linear_masks import LINEAR, replacing, spans
from foundation.bounded_pattern import BoundedPattern


class Mask(BaseModel):
    """One replacement made before templates are mined."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern: str = Field(description="Python regular expression; each match is replaced.")
    name: str = Field(description="The match becomes <NAME>.", pattern=r"^[^0-9<>\s]+$")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        # Built-in masks come here too, and `regex` compiles slowly; what only it refuses is reported by the parser.
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value


UUID_MASK = Mask(pattern=r"\b[0-9a-f]+-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+\b", name="UUID")
HEX_MASK = Mask(pattern=r"\b[a-f]*(?:[0-9]+[a-f]+){3,}[0-9]*\b", name="HEX")

DEFAULT_MASKS = (
    Mask(pattern=r"blk_-?[0-9]+", name="BLK"),
    Mask(pattern=r"/?[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+(?::[0-9]+)?", name="IP"),
    UUID_MASK,
    Mask(pattern=r"\b[0-9]+x[0-9a-fA-F]+\b", name="HEX"),
    HEX_MASK,
    Mask(pattern=r"[0-9]+", name="NUM"),
)
"""None of them depends on digits or their number, see `engine.compiled.regex_digits`."""


class Masker:
    """Applies masks as Drain3's `LogMasker` does, one after the other."""

    def __init__(self, masks: tuple[Mask, ...], *, http: bool = False, own: Collection[Mask] = ()) -> None:
        """Compile masks.

        Args:
            masks: In the order in which they are applied.
            http: Whether messages are requests with a status.
            own: Those of them that are a user's, whose cost on a message is bounded.
        """
        self._http = http
        self._names = [mask.name for mask in masks]
        steps = [_own_step(mask) if mask in own else _built_in_step(mask) for mask in masks]
        self._replace = [step[0] for step in steps]
        self._spans = [step[1] for step in steps]

    def mask(self, message: str) -> str:
        """The message with every match replaced, and before that the status of a message that has one (`http`)."""
        if self._http:
            message = name_status(message)
        for replace in self._replace:
            message = replace(message)
        return message

    def values(self, message: str) -> list[tuple[str, str]]:
        """What `mask` replaces in a message: name of the mask and the text it represents, in order.

        Text that one mask inserted and a later one replaced counts for the later one.
        """
        place = status_place(message) if self._http else None
        masked = _Masked(message, [*range(len(message) + 1)], [None] * len(message))
        if place is not None:
            masked = masked.replaced([place[1:]], place[0])
        for spans_in, name in zip(self._spans, self._names, strict=True):
            masked = masked.replaced(spans_in(masked.text), name)
        before = [None, *masked.taken]
        found = [mine for mine, its in zip(masked.taken, before, strict=False) if mine is not None and mine is not its]
        return [(taken.name, message[taken.start : taken.end]) for taken in found]


def _built_in_step(mask: Mask) -> "_Step":
    pattern = re.compile(LINEAR.get(mask.pattern, mask.pattern))
    return replacing(pattern, f"<{mask.name}>"), lambda text: spans(pattern, text)


def _own_step(mask: Mask) -> "_Step":
    if mask.pattern in LINEAR:
        return _built_in_step(mask)
    pattern, mark = BoundedPattern(mask.pattern), f"<{mask.name}>"

    def replace(text: str) -> str:
        found = pattern.replaced(text, mark)
        return text if found is None else found

    return replace, pattern.spans


_Step = tuple[Callable[[str], str], Callable[[str], list[tuple[int, int]]]]
"""Replaces the matches of a mask in a text; finds them."""


class _Taken(NamedTuple):
    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Masked:
    """A masked text; for each character its place in the message, and the replaced text that it represents.

    `place` has one more entry, for the end.
    """

    text: str
    place: list[int]
    taken: list[_Taken | None]

    def replaced(self, spans: Iterable[tuple[int, int]], name: str) -> "_Masked":
        """The text with `<name>` at every span (ascending, apart from each other)."""
        parts: list[str] = []
        place: list[int] = []
        taken: list[_Taken | None] = []
        at = 0
        for start, end in spans:
            mark = f"<{name}>"
            parts += [self.text[at:start], mark]
            place += [*self.place[at:start], *[self.place[start]] * len(mark)]
            taken += [*self.taken[at:start], *[_Taken(name, self.place[start], self.place[end])] * len(mark)]
            at = end
        parts.append(self.text[at:])
        return _Masked("".join(parts), place + self.place[at:], taken + self.taken[at:])
