"""Masks: what is replaced in a message before templates are mined from it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.formats.http_status import name_status, status_place
from engine.formats.linear_masks import LINEAR, replacing, spans


class Mask(BaseModel):
    """One replacement made before templates are mined."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern: str = Field(description="Python regular expression; each match is replaced.")
    name: str = Field(description="The match becomes <NAME>.", pattern=r"^[^0-9<>\s]+$")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
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

    def __init__(self, masks: tuple[Mask, ...], *, http: bool = False) -> None:
        self._http = http
        self._patterns = [(re.compile(LINEAR.get(mask.pattern, mask.pattern)), mask.name) for mask in masks]
        self._steps = [replacing(pattern, f"<{name}>") for pattern, name in self._patterns]

    def mask(self, message: str) -> str:
        """The message with every match replaced, and before that the status of a message that has one (`http`)."""
        if self._http:
            message = name_status(message)
        for replace in self._steps:
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
        for pattern, name in self._patterns:
            masked = masked.replaced(spans(pattern, masked.text), name)
        before = [None, *masked.taken]
        found = [mine for mine, its in zip(masked.taken, before, strict=False) if mine is not None and mine is not its]
        return [(taken.name, message[taken.start : taken.end]) for taken in found]


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
