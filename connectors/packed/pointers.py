"""What compiled loops need to read memory that is not an array: payloads of librdkafka's messages.

Addresses are int64. Nothing here checks them: the callers pass what librdkafka or numpy returned.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_intrinsic: Any = intrinsic  # It has no declared types.

_BYTE = ir.IntType(8)


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


@_intrinsic
def load_int64(_typing: Any, address: Any) -> Any:
    """The int64 at an address."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], ir.IntType(64)))

    return types.int64(types.int64), generate


@_intrinsic
def load_int32(_typing: Any, address: Any) -> Any:
    """The int32 at an address."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], ir.IntType(32)))

    return types.int32(types.int64), generate


@_intrinsic
def copy_bytes(_typing: Any, target: Any, source: Any, size: Any) -> Any:
    """Copies `size` bytes from one address to another; the ranges do not overlap."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        to, start, length = arguments
        cgutils.raw_memcpy(builder, _pointer(builder, to, _BYTE), _pointer(builder, start, _BYTE), length, 1)
        return _context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@_intrinsic
def call_with_pointer(_typing: Any, function: Any, argument: Any) -> Any:
    """Calls the C function `void (void *)` at an address."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer()])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [_pointer(builder, arguments[1], _BYTE)])
        return _context.get_dummy_value()

    return types.void(types.int64, types.int64), generate
