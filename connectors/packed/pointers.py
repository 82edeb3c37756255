"""What compiled loops need to read memory that is not an array: payloads of librdkafka's messages.

Addresses are int64. Nothing here checks them: the callers pass what librdkafka or numpy returned.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_intrinsic: Any = intrinsic  # These have no declared types.
_memcpy: Any = cgutils.raw_memcpy

_BYTE = ir.IntType(8)


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _load_int64(_typing: Any, address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], ir.IntType(64)))

    return types.int64(types.int64), generate


def _load_int32(_typing: Any, address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], ir.IntType(32)))

    return types.int32(types.int64), generate


def _copy_bytes(_typing: Any, target: Any, source: Any, size: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        to, start, length = arguments
        _memcpy(builder, _pointer(builder, to, _BYTE), _pointer(builder, start, _BYTE), length, 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


def _call_with_pointer(_typing: Any, function: Any, argument: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer()])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [_pointer(builder, arguments[1], _BYTE)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


load_int64: Any = _intrinsic(_load_int64)
"""`load_int64(address)`: the int64 there."""

load_int32: Any = _intrinsic(_load_int32)
"""`load_int32(address)`: the int32 there."""

copy_bytes: Any = _intrinsic(_copy_bytes)
"""`copy_bytes(target, source, size)`: copies bytes from one address to another; the ranges do not overlap."""

call_with_pointer: Any = _intrinsic(_call_with_pointer)
"""`call_with_pointer(function, argument)`: calls the C function `void (void *)` at an address."""
