"""Arrays and a JSON header as one run of bytes, and back: fast, small, and no pickle."""

from collections.abc import Mapping
from mmap import mmap
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from engine.windows.window_base import WindowStateError

_MAGIC = b"DLWIN003"


def pack(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Bytes that hold copies of everything given; the layout is fixed, little-endian, 8-byte lengths."""
    kept = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
    columns = [[name, a.dtype.str, list(a.shape)] for name, a in kept.items()]
    head = orjson.dumps({"header": header, "columns": columns})
    parts: list[Any] = [_MAGIC, len(head).to_bytes(8, "little"), head]
    parts += [a.reshape(-1).view(np.uint8).data if a.size else b"" for a in kept.values()]
    return b"".join(parts)


def unpack(state: bytes | mmap) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The arguments of `pack`; the arrays are read-only views of `state`.

    Raises:
        WindowStateError: the bytes are cut short, or not of this layout.
    """
    if state[:8] != _MAGIC:
        raise WindowStateError(f"window state begins with {state[:8]!r}, not {_MAGIC!r}: written by another version")
    at = 16 + int.from_bytes(state[8:16], "little")
    try:
        head = orjson.loads(state[16:at])
        arrays: dict[str, NDArray[Any]] = {}
        for name, dtype, shape in head["columns"]:
            count = int(np.prod(shape, dtype=np.int64))
            arrays[name] = np.frombuffer(state, np.dtype(dtype), count, at).reshape(shape)
            at += arrays[name].nbytes
    except (ValueError, KeyError, TypeError) as e:
        raise WindowStateError(f"window state of {len(state)} bytes is damaged: {e}") from e
    return head["header"], arrays
