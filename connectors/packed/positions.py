"""Positions of lines in messages."""

LINE_BITS = 20
"""A position is `offset << LINE_BITS | line`: a million lines a message, 8.8e12 messages."""


def place_of(partition: str, position: int) -> str:
    """`topic/partition/offset`, with `#i` for a line that is not its message's first."""
    offset, line = position >> LINE_BITS, position & ((1 << LINE_BITS) - 1)
    return f"{partition}/{offset}" + (f"#{line}" if line else "")
