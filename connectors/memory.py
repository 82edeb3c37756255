"""Sources and sinks in memory: real adapters for tests of what runs on top of them.

Tokens among a source's lines make things happen at an exact place: `PAUSE` one empty poll, `EOF`
the end of the source (a later `open` continues behind it), `ABORT` a crash, once.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from connectors.base import LineBatch, Record, SettingsError, SinkUnavailableError, SourceUnavailableError, State
from connectors.line_splitter import line_ends
from connectors.sink_settings import BaseSinkSettings


class Token(Enum):
    """Something that happens between two lines."""

    PAUSE = "pause"
    EOF = "eof"
    ABORT = "abort"
    FAIL = "fail"


PAUSE, EOF, ABORT, FAIL = Token.PAUSE, Token.EOF, Token.ABORT, Token.FAIL


class AbortedError(Exception):
    """A simulated crash: nothing of the reader may be used afterwards."""


class MemorySourceSettings(BaseModel):
    """Lines written in the settings themselves, for tries and tests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["memory"] = "memory"
    lines: tuple[str, ...] = Field((), description="The lines.")
    batch_lines: int = Field(1000, ge=1, description="Maximum number of lines in one batch.")


class MemoryPartition:
    """Reads one list of lines and tokens; `place` counts both, positions count lines."""

    def __init__(
        self,
        name: str,
        items: Sequence[bytes | Token],
        spent: set[tuple[str, int]],
        batch_lines: int,
        resume: State | None,
        wall_ns: Callable[[], int],
    ) -> None:
        self._name = name
        self._items = items
        self._spent = spent
        self._batch_lines = batch_lines
        self._place: int = (resume or {}).get("place", 0)
        self._line: int = (resume or {}).get("line", 0)
        self._wall_ns = wall_ns
        self._closed = False

    def next_batch(self, share: float = 1.0) -> LineBatch | None:
        """See `SourcePartition.next_batch`.

        Raises:
            AbortedError: an `ABORT` stands here, for the first time.
        """
        if self._closed or self._place >= len(self._items):
            raise StopIteration
        item = self._items[self._place]
        if isinstance(item, Token):
            self._happen(item)
            return None
        lines: list[bytes] = []
        most = max(1, int(share * self._batch_lines))
        while self._place < len(self._items) and len(lines) < most:
            item = self._items[self._place]
            if isinstance(item, Token):
                break
            lines.append(item)
            self._place += 1
        first, self._line = self._line, self._line + len(lines)
        data = b"\n".join(lines) + b"\n"
        now = self._wall_ns()
        return LineBatch(self._name, data, line_ends(data), np.arange(first, self._line, dtype=np.int64), now, now)

    def snapshot(self) -> State:
        """How far the items and the lines were read."""
        return {"place": self._place, "line": self._line}

    def lag(self) -> int | None:
        """Lines not yet handed out."""
        return sum(isinstance(item, bytes) for item in self._items[self._place :])

    def close(self) -> None:
        """See `SourcePartition.close`."""
        self._closed = True

    def _happen(self, token: Token) -> None:
        key = (self._name, self._place)
        if token is PAUSE:
            self._place += 1
        elif token is EOF:
            self._place += 1
            self._closed = True
            raise StopIteration
        elif key in self._spent:
            self._place += 1
        elif token is ABORT:
            self._spent.add(key)
            raise AbortedError(f"{self._name} at item {self._place}")
        else:
            self._spent.add(key)
            raise SourceUnavailableError(f"{self._name} fails once at item {self._place}, as configured")


class MemorySource:
    r"""Partitions given as lists of lines (without `\n`) and tokens."""

    def __init__(
        self,
        partitions: Mapping[str, Sequence[bytes | Token]],
        *,
        batch_lines: int = 1000,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Takes the content of every partition; `ABORT` and `FAIL` happen once in the source's life."""
        if any(isinstance(item, bytes) and b"\n" in item for items in partitions.values() for item in items):
            raise SettingsError(r"a line of a MemorySource holds a line end: give its parts as lines of their own")
        self._partitions = partitions
        self._batch_lines = batch_lines
        self._wall_ns = wall_ns
        self._spent: set[tuple[str, int]] = set()

    def partitions(self) -> Sequence[str]:
        """The names given."""
        return tuple(self._partitions)

    def open(self, partition: str, resume: State | None) -> MemoryPartition:
        """See `Source.open`."""
        items = self._partitions[partition]
        return MemoryPartition(partition, items, self._spent, self._batch_lines, resume, self._wall_ns)

    def describe(self, partition: str, position: int) -> str:
        """`partition:line`."""
        return f"{partition}:{position}"


class MemorySinkSettings(BaseSinkSettings):
    """Documents kept in memory and lost with the process, for trials and tests."""

    type: Literal["memory"] = "memory"


class MemorySink:
    """Keep what is written; can be set to reject records, to test how its user reacts.

    Attributes:
        delivered: What was acknowledged, in order; outlives `close` and may be shared by the sinks
            before and after a simulated crash.
        refusing: While True, `flush` acknowledges nothing.
        fail_after: How many more records are acknowledged before refusing starts, or None.
    """

    snapshot_holds_pending = False

    def __init__(self, delivered: list[Record] | None = None) -> None:
        self.delivered: list[Record] = [] if delivered is None else delivered
        self.refusing = False
        self.fail_after: int | None = None
        self._kept: list[Record] = []
        self._known: frozenset[str] = frozenset()

    def open(self, resume: State | None) -> None:
        """See `Sink.open`.

        Raises:
            SinkUnavailableError: it is refusing.
        """
        if self.refusing:
            raise SinkUnavailableError("the memory sink refuses, as configured")
        if resume is not None:
            self._known = frozenset(r.id for r in self.delivered[resume.get("count", 0) :])

    def write(self, records: Sequence[Record]) -> None:
        """See `Sink.write`."""
        self._kept.extend(r for r in records if r.id not in self._known)

    def pending(self) -> int:
        """See `Sink.pending`."""
        return len(self._kept)

    def flush(self, timeout_s: float) -> None:
        """See `Sink.flush`."""
        while self._kept and not self.refusing:
            if self.fail_after is not None:
                if self.fail_after <= 0:
                    self.refusing, self.fail_after = True, None
                    break
                self.fail_after -= 1
            self.delivered.append(self._kept.pop(0))
        if self._kept:
            raise SinkUnavailableError(f"the memory sink refuses, as configured: {len(self._kept)} records kept")

    def snapshot(self) -> State:
        """How many records were acknowledged."""
        return {"count": len(self.delivered)}

    def close(self) -> None:
        """See `Sink.close`."""
        self._kept = []
