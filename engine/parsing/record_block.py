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


class HeldLines:
    """The part that blocks share which hold lines until their record is complete; see `RecordBlock`."""

    def __init__(self, lines: list[Placed] | None = None) -> None:
        """Holds the lines that a snapshot kept."""
        self.done = False
        self._lines = lines or []
        self._bytes = sum(len(line) for _, line in self._lines)

    @property
    def waits(self) -> bool:
        """See `RecordBlock`."""
        return bool(self._lines)

    def _hold(self, position: int, line: bytes) -> None:
        self._lines.append((position, line))
        self._bytes += len(line)

    def _released(self) -> list[Placed]:
        """The lines held, which are held no longer."""
        lines, self._lines, self._bytes = self._lines, [], 0
        return lines

    def rest(self) -> list[Placed]:
        """See `RecordBlock`."""
        return self._released()

    def state(self) -> list[Any]:
        """See `RecordBlock`."""
        return plain(self._lines)


class PassedLines:
    """The part that blocks share which hold no line; see `RecordBlock`."""

    done = False
    waits = False

    def rest(self) -> list[Placed]:
        """See `RecordBlock`."""
        return []

    def state(self) -> list[Any]:
        """See `RecordBlock`."""
        return []


def plain(lines: list[Placed]) -> list[list[Any]]:
    """Lines as JSON-compatible data."""
    return [[position, line.decode("latin-1")] for position, line in lines]


def lines_of(state: list[list[Any]]) -> list[Placed]:
    """The lines of which `plain` made the data."""
    return [(position, line.encode("latin-1")) for position, line in state]
