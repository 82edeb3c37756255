"""What a record over several lines is: the contract of its kinds, see `engine.parsing.record_blocks`."""

from typing import Any, Protocol

Placed = tuple[int, bytes]
"""A line, and its position in its partition."""


class RecordBlock(Protocol):
    """A record, or a row of records, of which some lines have been read.

    Attributes:
        done: Whether no further line belongs to it.
        waits: Whether it holds lines that have not come out.
    """

    done: bool

    @property
    def waits(self) -> bool:
        """See the class."""
        ...

    def take(self, position: int, line: bytes) -> list[Placed] | None:
        """Take the next line; the records that it completes, or None where the line does not belong to the block.

        The first call is for the line that began the block. Lines have neither line end nor carriage return.
        """
        ...

    def rest(self) -> list[Placed]:
        """What the lines held become if no further line comes: a record, or the lines as they are."""
        ...

    def state(self) -> list[Any]:
        """Plain data from which `BlockKind.restore` makes an equal block."""
        ...


class BlockKind(Protocol):
    """A kind of block.

    Attributes:
        name: Unique, for snapshots.
        formats: Names of the formats that read its records; the kind is used where one of them may occur.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def formats(self) -> tuple[str, ...]:
        """See the class."""
        ...

    def begin(self, line: bytes) -> RecordBlock | None:
        """A block that begins with this line, or None."""
        ...

    def restore(self, state: list[Any]) -> RecordBlock:
        """The block that `RecordBlock.state` describes."""
        ...


def held_bytes(lines: list[Placed]) -> int:
    """Bytes of some lines."""
    return sum(len(line) for _, line in lines)


def plain(lines: list[Placed]) -> list[list[Any]]:
    """Lines as JSON-compatible data."""
    return [[position, line.decode("latin-1")] for position, line in lines]


def lines_of(state: list[list[Any]]) -> list[Placed]:
    """The lines of which `plain` made the data."""
    return [(position, line.encode("latin-1")) for position, line in state]
