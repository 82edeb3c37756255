"""Arrays by name as bytes, and as Flower records, in the format of safetensors."""

from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from federation.errors import MalformedError
from federation.protocol.records import Weights

_KEY = "safetensors"

MAX_DIMENSIONS = 16
"""Far more than any model uses; numpy fails beyond 64."""


def pack_arrays(weights: Weights) -> bytes:
    """Encode arrays by name."""
    return bytes(safetensors.save({name: np.asarray(array, order="C") for name, array in weights.items()}))


def unpack_arrays(data: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Decode what `pack_arrays` encoded; `name` appears in error messages.

    Raises:
        MalformedError: the data is damaged.
    """
    try:
        found = safetensors.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:  # also dtypes and shapes unknown to numpy
        raise MalformedError(f"the arrays under '{name}' are damaged: {error}") from error
    if deep := sorted(key for key, array in found.items() if array.ndim > MAX_DIMENSIONS):
        raise MalformedError(f"the array '{deep[0]}' has {found[deep[0]].ndim} dimensions, more than {MAX_DIMENSIONS}")
    return {key: found[key].copy() for key in sorted(found)}  # safetensors returns a different order every time


def to_record(weights: Weights) -> ArrayRecord:
    """Write arrays into a record that holds a single array of bytes.

    Flower moves every array of a message as an object of its own, with several requests for each between
    coordinator, node and ClientApp; for networks of a dozen small arrays that took longer than training.
    """
    data = pack_arrays(weights)
    return ArrayRecord({_KEY: Array(dtype="uint8", shape=(len(data),), stype=_KEY, data=data)})


def from_record(content: RecordDict, name: str) -> dict[str, NDArray[Any]]:
    """Read the arrays of the record called `name`.

    Raises:
        MalformedError: the record is missing or damaged.
    """
    record = content.get(name)
    found = record.get(_KEY) if isinstance(record, ArrayRecord) else None
    if found is None:
        raise MalformedError(f"there are no arrays under '{name}'")
    return unpack_arrays(found.data, name)


def array_bytes(content: RecordDict) -> int:
    """Size of all arrays of a message in bytes."""
    return sum(len(array.data) for record in content.array_records.values() for array in record.values())


def content_bytes(content: RecordDict) -> int:
    """Size of the arrays and values of a message in bytes, without names and framing."""
    numbers = sum(_value_bytes(value) for record in content.metric_records.values() for value in record.values())
    facts = sum(_value_bytes(value) for record in content.config_records.values() for value in record.values())
    return array_bytes(content) + numbers + facts


def _value_bytes(value: object) -> int:
    if isinstance(value, list):
        return sum(map(_value_bytes, value))
    if isinstance(value, str):
        return len(value.encode())
    return len(value) if isinstance(value, bytes) else 8
