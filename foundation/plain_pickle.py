"""Pickled data that cannot run code: built-in values, arrays and records of this program, and nothing else.

Pickle is used for its speed on large nested states. What makes it dangerous is that its data names functions to call.
Data written here names two functions of this module only, and a reader refuses every other name. Neither function calls
what the data holds: an array is made from bytes, and the fields of a record are set without its constructor.
"""

import io
import pickle
import sys
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DriftlineError

PACKAGES = ("connectors", "engine", "foundation", "models")
"""Whose dataclasses may be in the data."""


class PlainPickleError(DriftlineError):
    """Data is damaged, names code, or holds a value of a kind that is not allowed."""


def dump(value: Any) -> bytes:
    """The data of a value, which later changes of the value do not reach.

    Raises:
        PlainPickleError: the value holds something other than built-in values, arrays and records.
    """
    out = io.BytesIO()
    _Writer(out, protocol=4).dump(value)
    return out.getvalue()


def load(data: bytes) -> Any:
    """The value of which `dump` made the data.

    Raises:
        PlainPickleError: see the class.
    """
    return _load(_Reader(io.BytesIO(data)))


def load_builtins(data: bytes) -> Any:
    """The value of any pickled data that holds built-in values alone, in whatever way it was written.

    Raises:
        PlainPickleError: see the class.
    """
    return _load(_BuiltinsReader(io.BytesIO(data)))


def _load(reader: pickle.Unpickler) -> Any:
    try:
        return reader.load()
    except PlainPickleError:
        raise
    except Exception as error:  # damaged data raises errors of many kinds
        raise PlainPickleError(f"the data is damaged: {error}") from error


class _Writer(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """How a value is written that pickle has no code of its own for."""
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return _array, (value.dtype.str, value.shape, value.tobytes())
        if isinstance(value, np.generic) and not value.dtype.hasobject:
            return _array, (value.dtype.str, None, value.tobytes())
        kind = type(value)
        if is_dataclass(kind) and kind.__module__.partition(".")[0] in PACKAGES:
            return _record, (kind.__module__, kind.__name__, [getattr(value, field.name) for field in fields(kind)])
        if value is _array or value is _record:
            return NotImplemented
        raise PlainPickleError(f"a value of type {kind.__module__}.{kind.__qualname__} cannot be saved")


class _BuiltinsReader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Refuse every name."""
        raise PlainPickleError(f"the data names {module}.{name}; it may hold built-in values only")


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Refuse every name but those of the two functions that `dump` writes."""
        if module == __name__ and name == _array.__name__:
            return _array
        if module == __name__ and name == _record.__name__:
            return _record
        raise PlainPickleError(f"the data names {module}.{name}, which no data of this program does")


def _array(dtype: str, shape: tuple[int, ...] | None, data: bytes) -> NDArray[Any] | np.generic:
    """An array of its own, or a single value of NumPy where there is no shape."""
    flat = np.frombuffer(data, np.dtype(dtype))
    return flat[0] if shape is None else flat.reshape(shape).copy()


def _record(module: str, name: str, values: list[Any]) -> Any:
    """A record with these fields; its class must be known already, so that nothing is imported."""
    kind = getattr(sys.modules.get(module), name, None)
    if module.partition(".")[0] not in PACKAGES or not isinstance(kind, type) or not is_dataclass(kind):
        raise PlainPickleError(f"the data has a record {module}.{name}, which this program does not have")
    record: Any = object.__new__(kind)
    for field, value in zip(fields(kind), values, strict=True):
        object.__setattr__(record, field.name, value)
    return record
