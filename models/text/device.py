"""What encoders and networks do differently on a GPU; on a CPU all of it does nothing."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_GPU_TIMES = 16
"""A GPU is busy with this many times the tokens that suit a core's cache."""


def new_stream(device: torch.device) -> torch.cuda.Stream:
    """A stream of a GPU, whose kernels and copies run in parallel to those of other streams."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it without annotations


def tokens_at_once(device: torch.device, on_cpu: int) -> int:
    """Tokens of a batch: `on_cpu`, or more on a GPU."""
    return on_cpu * _GPU_TIMES if device.type == "cuda" else on_cpu


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on the device; to a GPU from pinned memory, so that the copy does not wait for the kernels."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


@functools.cache
def _stream_of_encoders(device: torch.device) -> torch.cuda.Stream:
    return new_stream(device)


@contextmanager
def encoding_stream(device: torch.device) -> Iterator[None]:
    """Kernels inside run on a stream of their own: those that score windows meanwhile do not wait for them."""
    if device.type != "cuda":
        yield
        return
    stream = _stream_of_encoders(device)
    stream.wait_stream(torch.cuda.current_stream(device))  # that loaded the weights
    with torch.cuda.stream(stream):
        yield
