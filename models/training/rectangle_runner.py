"""Scores rectangles of windows on a device.

On a CPU the function is called with each rectangle. On a GPU, launching small kernels would take longer than running
them, so:

1. A rectangle is padded to one of few shapes (`fixed_shape`).
2. The first rectangle of a shape records the function's kernels as a CUDA graph, and later ones replay it.
3. A rectangle travels from pinned memory on a stream of its own while the one before it is scored. Two are on their
   way at a time.

`fixed` applies the shapes, the recording and the order of steps on a CPU as well, where a recording is the plain
call. So all of it but CUDA's own calls is tested without a GPU.

Shapes: B windows in a rectangle, T its width in tokens.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.text.device import new_stream
from models.text.embeddings import PADDING

Function = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Tokens (B, T) and lengths (B,) → scores (B,)."""

Rectangle = tuple[NDArray[np.int64], NDArray[np.int64]]

_IN_FLIGHT = 2
_FEWEST_ROWS, _LEAST_WIDTH = 64, 8
_WARM_UP = 3
"""Calls before a recording, in which libraries choose and allocate; see `torch.cuda.graph`."""


def fixed_shape(rows: int, width: int) -> tuple[int, int]:
    """The shape to pad to: powers of two, and for the width also the halves between them."""
    wide = max(_LEAST_WIDTH, 1 << (width - 1).bit_length())
    return max(_FEWEST_ROWS, 1 << (rows - 1).bit_length()), wide * 3 // 4 if width <= wide * 3 // 4 else wide


class _Recording:
    """The function on buffers of one shape, which stay on the device."""

    def __init__(self, function: Function, shape: tuple[int, int], device: torch.device) -> None:
        self.tokens = torch.full(shape, PADDING, device=device)
        self.lengths = torch.ones(shape[0], dtype=torch.int64, device=device)
        self._function = function
        self._graph: torch.cuda.CUDAGraph | None = None
        if device.type == "cuda":
            self._warm_up(device)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):  # others may encode
                self.scores = function(self.tokens, self.lengths)
        else:
            self.scores = function(self.tokens, self.lengths)

    def _warm_up(self, device: torch.device) -> None:
        side, current = new_stream(device), torch.cuda.current_stream(device)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self._function(self.tokens, self.lengths)
        current.wait_stream(side)

    def replay(self) -> None:
        """Scores what is in the buffers."""
        if self._graph is None:
            self.scores.copy_(self._function(self.tokens, self.lengths))
        else:
            self._graph.replay()


class RectangleRunner:
    """Runs one function on many rectangles; used by one thread at a time."""

    def __init__(self, function: Function, device: torch.device, *, fixed: bool) -> None:
        """`function` must run the same kernels for all rectangles of a shape if `fixed`."""
        self._function, self._device, self._fixed = function, device, fixed
        self._recordings: dict[tuple[int, int], _Recording] = {}
        self._pinned = device.type == "cuda"
        self._copies = new_stream(device) if self._pinned else None

    def scores(self, rectangles: Iterable[Rectangle]) -> Iterator[NDArray[np.float32]]:
        """float32 (B,) of each rectangle, in order."""
        if not self._fixed:
            for rectangle in rectangles:
                there = (torch.from_numpy(part).to(self._device) for part in rectangle)
                yield self._function(*there).float().cpu().numpy()
            return
        flying: deque[tuple[int, torch.Tensor, Any]] = deque()
        for tokens, lengths in rectangles:
            flying.append((len(tokens), *self._launch(tokens, lengths)))
            if len(flying) == _IN_FLIGHT:
                yield _landed(*flying.popleft())
        while flying:
            yield _landed(*flying.popleft())

    def _launch(self, tokens: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[torch.Tensor, Any]:
        """Scores that are complete once the event has passed (None: they are)."""
        shape = fixed_shape(*tokens.shape)
        parts = (_padded(tokens, shape, PADDING, self._pinned), _padded(lengths, shape[:1], 1, self._pinned))
        with torch.cuda.stream(self._copies) if self._copies is not None else nullcontext():
            sent = [part.to(self._device, non_blocking=True) for part in parts]
        if self._copies is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_stream(self._copies)
            for part in sent:
                part.record_stream(current)
        recording = self._recording(shape)
        recording.tokens.copy_(sent[0])
        recording.lengths.copy_(sent[1])
        recording.replay()
        scores = torch.empty(shape[0], pin_memory=self._pinned)
        scores.copy_(recording.scores, non_blocking=True)
        return scores, torch.cuda.current_stream(self._device).record_event() if self._pinned else None

    def _recording(self, shape: tuple[int, int]) -> _Recording:
        if shape not in self._recordings:
            self._recordings[shape] = _Recording(self._function, shape, self._device)
        return self._recordings[shape]


def _padded(values: NDArray[np.int64], shape: tuple[int, ...], filling: int, pinned: bool) -> torch.Tensor:
    """The values in the corner of a new tensor in host memory."""
    tensor = torch.empty(shape, dtype=torch.int64, pin_memory=pinned).fill_(filling)
    tensor[tuple(slice(0, size) for size in values.shape)] = torch.from_numpy(values)
    return tensor


def _landed(rows: int, scores: torch.Tensor, done: Any) -> NDArray[np.float32]:
    if done is not None:
        done.synchronize()
    found: NDArray[np.float32] = scores[:rows].numpy()
    return found


def halved(prepared: Any) -> Any:
    """The same nested tuples and lists in which floating tensors are bfloat16; modules stay."""
    if isinstance(prepared, torch.Tensor):
        return prepared.bfloat16() if prepared.is_floating_point() else prepared
    if isinstance(prepared, list | tuple):
        return type(prepared)(halved(part) for part in prepared)
    return prepared
