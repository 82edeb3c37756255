"""Masks: what is replaced in a message before templates are mined from it."""

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.formats.digit_invariance import why_not_blind
from engine.formats.hex_ids import HEX, UUID, Kind
from engine.formats.http_status import name_status
from engine.formats.id_invariance import why_not_id_blind


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
"""None of them depends on the digits or their number, see `engine.formats.digit_invariance`."""


class Masker:
    """Applies masks as Drain3's `LogMasker` does, one after the other.

    Attributes:
        why_slow: Why texts may depend on digits, so that no shape may be remembered; None if not.
        takes_ids: Whether ids (`engine.formats.hex_ids`) are replaced whole before anything looks into them.
    """

    def __init__(self, masks: tuple[Mask, ...], *, http: bool = False) -> None:
        self._http = http
        self._steps = [(re.compile(m.pattern).sub, f"<{m.name}>".replace("\\", r"\\")) for m in masks]
        reasons = ((m.pattern, why_not_blind(m.pattern)) for m in masks)
        found = next(((pattern, reason) for pattern, reason in reasons if reason), None)
        self.why_slow = None if found is None else f"mask {found[0]!r} depends on digits: {found[1]}"

        patterns = tuple(mask.pattern for mask in masks)
        self.takes_ids = _takes(patterns, UUID_MASK.pattern, UUID) and _takes(patterns, HEX_MASK.pattern, HEX)

    def mask(self, message: str) -> str:
        """The message with every match replaced, and before that the status of a message that has one (`http`)."""
        if self._http:
            message = name_status(message)
        for substitute, name in self._steps:
            message = substitute(name, message)
        return message


def _takes(patterns: tuple[str, ...], mine: str, kind: Kind) -> bool:
    """Whether `mine`, which replaces ids of that kind, is there, and none before it depends on what they hold."""
    if mine not in patterns:
        return False
    before = patterns[: patterns.index(mine)]
    return not any(why_not_id_blind(pattern, search=True, kinds=(kind,)) for pattern in before)
