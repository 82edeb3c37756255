"""Standard input as a source: text, or text that is compressed or encoded as in `connectors.file_content`.

**Not replayable:** what was read from a pipe is gone, so after a crash the lines that were handed
out but not yet delivered are lost, and `snapshot` holds nothing. Where that matters, write to a
file or to Kafka and read from there. Positions count bytes of the text, in UTF-8.
"""

import os
import select
import sys
import time
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from connectors.base import DeadLetter, LineBatch, SourceUnavailableError, State
from connectors.file_content import PROBE_BYTES, CheckedText, RefusedFileError, decoder_of
from connectors.line_places import LineNumbers, line_place
from connectors.line_splitter import Cut, LineCutter, too_long

WAIT_S = 0.01
"""How long an empty poll waits for input; a fifth of what the contract allows."""

COMPRESSED_BYTES = 65_536
"""Compressed bytes read at a time: their text may be a thousand times as long."""

NAME = "stdin"


class StdinSettings(BaseModel):
    """Lines from standard input, until it is closed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["stdin"] = "stdin"
    block_bytes: int = Field(1_048_576, ge=1, description="Maximum size of one batch, in bytes.")
    max_line_bytes: int = Field(1_048_576, ge=1, description="Longer lines go to the dead letters, in bytes.")


class StreamText:
    """The text of a stream that can be read only once; its first block decides how it is decoded.

    Attributes:
        held: Text that was decoded and not taken.
        fault: Why nothing further is decoded: the stream is damaged, or is not a log; "" while neither is so.
    """

    def __init__(self) -> None:
        self._text: CheckedText | None = None
        self._begun = False
        self.held = b""
        self.fault = ""

    @property
    def is_plain(self) -> bool:
        """Whether bytes are text as they are, as far as is known."""
        return self._text is None

    def feed(self, raw: bytes) -> None:
        """Decodes further bytes, at least one."""
        try:
            if not self._begun:
                self._begun = True
                decoder = decoder_of(raw[:PROBE_BYTES])
                self._text = None if decoder is None else CheckedText(decoder)
            self._add(raw if self._text is None else self._text.feed(raw))
        except RefusedFileError as error:
            self.fault = str(error)

    def finish(self) -> None:
        """Decodes what is left at the end."""
        if self._text is None or self.fault:
            return
        try:
            self._add(self._text.finish())
        except RefusedFileError as error:
            self.fault = str(error)

    def take(self, size: int) -> bytes:
        """The next text, at most so many bytes."""
        taken, self.held = self.held[:size], self.held[size:]
        return taken

    def _add(self, text: bytes) -> None:
        self.held += text
        if self._text is not None and self._text.damage is not None:
            self.fault = f"compressed data is damaged: {self._text.damage}"


class StdinPartition:
    """Reads a file descriptor without ever blocking longer than `WAIT_S`."""

    def __init__(self, settings: StdinSettings, fd: int, wall_ns: Callable[[], int], numbers: LineNumbers) -> None:
        self._settings = settings
        self._numbers = numbers
        self._fd = fd
        self._wall_ns = wall_ns
        self._cutter = LineCutter(0, settings.max_line_bytes)
        self._text = StreamText()
        self._ended = False
        self._closed = False

    def next_batch(self, share: float = 1.0) -> LineBatch | None:
        """See `SourcePartition.next_batch`."""
        if self._closed:
            raise StopIteration
        most = max(1, int(share * self._settings.block_bytes))
        if not self._ended and not self._text.held:
            self._fill(most)
        block = self._text.take(most)
        if block:
            return self._batch(self._cutter.feed(block))
        if not self._ended:
            return None
        last = self._torn() if self._text.fault else self._batch(self._cutter.finish())
        if last is None:
            raise StopIteration
        return last

    def snapshot(self) -> State:
        """Nothing: a pipe cannot be read twice."""
        return {}

    def lag(self) -> int | None:
        """Unknown."""
        return None

    def close(self) -> None:
        """Standard input belongs to the process and stays open."""
        self._closed = True

    def _fill(self, most: int) -> None:
        raw = self._read(most if self._text.is_plain else min(most, COMPRESSED_BYTES))
        if raw:
            self._text.feed(raw)
        if self._ended:
            self._text.finish()
        self._ended = self._ended or bool(self._text.fault)

    def _torn(self) -> LineBatch:
        """A dead letter in place of what does not decompress or is not text, and of the line that ends there."""
        place = self._place(self._cutter.byte + self._cutter.held_bytes)
        letter = DeadLetter(place, self._text.fault, b"", 0)
        self._text.fault, self._cutter = "", LineCutter(self._cutter.byte, self._settings.max_line_bytes)
        now, none = self._wall_ns(), np.zeros(0, np.int64)
        return LineBatch(NAME, b"", none, none, now, now, (letter,))

    def _place(self, byte: int) -> str:
        return line_place(NAME, byte, self._numbers.line_of(NAME, byte))

    def _read(self, most: int) -> bytes:
        # A pipe gives 64 KiB a read: gather until a block is full or nothing more is there.
        parts: list[bytes] = []
        size, wait = 0, WAIT_S
        while size < most:
            if not select.select([self._fd], [], [], wait)[0]:
                break
            try:
                part = os.read(self._fd, most - size)
            except BlockingIOError:
                break
            except OSError as error:
                raise SourceUnavailableError(f"cannot read standard input: {error}") from error
            if not part:
                self._ended = True
                break
            parts.append(part)
            size, wait = size + len(part), 0.0
        return b"".join(parts)

    def _batch(self, cut: Cut) -> LineBatch | None:
        if not cut:
            return None
        now = self._wall_ns()
        self._numbers.add(NAME, cut, cut.starts)
        letters = tuple(
            DeadLetter(
                self._place(byte),
                too_long(length, self._settings.max_line_bytes),
                raw,
                length,
            )
            for byte, raw, length in cut.rejects
        )
        return LineBatch(NAME, cut.data, cut.ends, cut.starts, now, now, letters)


class StdinSource:
    """One partition named `stdin`; a line's position is the byte at which it begins."""

    def __init__(
        self, settings: StdinSettings, *, fd: int | None = None, wall_ns: Callable[[], int] = time.time_ns
    ) -> None:
        """Takes `fd` instead of the process's standard input where given."""
        self._settings = settings
        self._fd = fd
        self._wall_ns = wall_ns
        self._numbers = LineNumbers()

    def partitions(self) -> Sequence[str]:
        """The one partition."""
        return (NAME,)

    def open(self, partition: str, resume: State | None) -> StdinPartition:
        """A reader; `resume` is of no use here."""
        return StdinPartition(
            self._settings, sys.stdin.fileno() if self._fd is None else self._fd, self._wall_ns, self._numbers
        )

    def describe(self, partition: str, position: int) -> str:
        """`stdin, line L, byte N`, without the line where it is not known any more."""
        return line_place(partition, position, self._numbers.line_of(partition, position))
