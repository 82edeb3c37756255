"""The pointer of a model: which version is current, and which regions keep an earlier one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Pointer:
    """The content of the file `current`.

    Attributes:
        version: The current version: the newest one of the lineage that is in service.
        card_sha256: Of its card.
        reached: The latest version that was ever current.
        held: Earlier versions that single regions keep in service, by region.
    """

    version: int
    card_sha256: str
    reached: int
    held: Mapping[str, int] = field(default_factory=dict)

    def of(self, region: str) -> int:
        """The version that a region serves."""
        return self.held.get(region, self.version)

    def dump(self) -> bytes:
        """Encode it as JSON."""
        values: dict[str, Any] = {"version": self.version, "card_sha256": self.card_sha256, "reached": self.reached}
        if self.held:
            values["held"] = dict(sorted(self.held.items()))
        return json.dumps(values).encode()


def read_pointer(raw: bytes) -> Pointer:
    """Decode a pointer.

    Raises:
        ValueError: it is damaged.
    """
    try:
        values = json.loads(raw)
        version, held = values["version"], values.get("held", {})
        pointer = Pointer(version, values["card_sha256"], max(version, values.get("reached", 0)), held)
        numbers = [version, pointer.reached, *held.values()]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error
    if not all(isinstance(number, int) for number in numbers):
        raise ValueError("a version is not a whole number")
    if not isinstance(pointer.card_sha256, str):
        raise ValueError("the checksum of the card is not a text")
    return pointer


def below(held: Mapping[str, int], version: int) -> dict[str, int]:
    """The regions that keep a version before this one; for the others it is not an exception."""
    return {region: kept for region, kept in held.items() if kept < version}
