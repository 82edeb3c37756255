"""Values of OTLP as Python's own, from Protocol Buffers and from JSON, and as text.

Compiled loops read the common values of records (text, whole numbers, booleans). This module reads the others, and
what many records share: their resource and scope.
"""

import base64
import binascii
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

NO_REQUEST = "it is not a log request of OTLP"

MOST_NESTED = 30
"""Depth of lists and objects within each other; deeper ones are refused."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class BrokenRequestError(ValueError):
    """The bytes are not a log request of OTLP."""


def fields_of(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field of a message; the value is an int or bytes.

    Raises:
        BrokenRequestError: a field is cut, or of a type that does not exist.
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, wire, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if wire == _BYTES:
            size, at = _varint(data, at)
        if size is None or size > len(data) - at or tag < 8:
            raise BrokenRequestError("a field is cut or of an unknown type")
        yield tag >> 3, wire, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise BrokenRequestError("a number is cut or too long")


def value_of(data: bytes, depth: int = 0) -> Any:
    """An AnyValue; of several values the last one.

    Raises:
        BrokenRequestError: see `fields_of`, or it is nested deeper than `MOST_NESTED`.
    """
    if depth > MOST_NESTED:
        raise BrokenRequestError(f"values are nested deeper than {MOST_NESTED}")
    found: Any = None
    for number, wire, value in fields_of(data):
        if wire == _BYTES and number == 1:
            found = value.decode(errors="replace")
        elif wire == _VARINT and number == 2:
            found = value != 0
        elif wire == _VARINT and number == 3:
            found = value - (1 << 64) if value >> 63 else value
        elif wire == _FIXED64 and number == 4:
            found = struct.unpack("<d", value)[0]
        elif wire == _BYTES and number == 5:
            found = [value_of(item, depth + 1) for n, w, item in fields_of(value) if (n, w) == (1, _BYTES)]
        elif wire == _BYTES and number == 6:
            found = pairs_of(value, 1, depth + 1)
        elif wire == _BYTES and number == 7:
            found = base64.b64encode(value).decode()
    return found


def pairs_of(data: bytes, field: int, depth: int = 0) -> dict[str, Any]:
    """The pairs of key and value in the fields of that number; see `value_of`."""
    found = {}
    for number, wire, pair in fields_of(data):
        if (number, wire) == (field, _BYTES):
            key, value = "", None
            for n, w, part in fields_of(pair):
                if (n, w) == (1, _BYTES):
                    key = part.decode(errors="replace")
                elif (n, w) == (2, _BYTES):
                    value = value_of(part, depth)
            found[key] = value
    return found


def scope_of(data: bytes) -> dict[str, Any]:
    """What is known of a scope: name, version and attributes, as far as they are set."""
    texts = {n: value.decode(errors="replace") for n, w, value in fields_of(data) if w == _BYTES and n in (1, 2)}
    return _scope(texts.get(1, ""), texts.get(2, ""), pairs_of(data, 3))


def json_value(value: Any, depth: int = 0) -> Any:
    """An AnyValue in JSON as a plain value; of several values the last one.

    Raises:
        BrokenRequestError: it has another type than its name states, or is nested deeper than `MOST_NESTED`.
    """
    if depth > MOST_NESTED:
        raise BrokenRequestError(f"values are nested deeper than {MOST_NESTED}")
    found: Any = None
    try:
        for name, content in (value or {}).items():
            if name == "intValue":
                found = _int64(content)
            elif name == "arrayValue":
                found = [json_value(item, depth + 1) for item in content.get("values") or ()]
            elif name == "kvlistValue":
                found = json_pairs(content.get("values"), depth + 1)
            elif name in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
                if isinstance(content, list | dict):
                    raise TypeError(f"{name} is a list or an object")
                found = content
    except (AttributeError, TypeError, ValueError) as error:
        raise BrokenRequestError(f"a value is of another type than its name states ({error})") from error
    return found


def _int64(content: Any) -> int:
    found = int(content)
    if not -(1 << 63) <= found < 1 << 63:
        raise ValueError("intValue has more than 64 bits")
    return found


def json_pairs(pairs: Any, depth: int = 0) -> dict[str, Any]:
    """Pairs of key and value in JSON as an object; see `json_value`."""
    try:
        return {str(pair.get("key", "")): json_value(pair.get("value"), depth) for pair in pairs or ()}
    except (AttributeError, TypeError) as error:
        raise BrokenRequestError(f"attributes are not a list of keys and values ({error})") from error


def json_scope(scope: Mapping[str, Any]) -> dict[str, Any]:
    """See `scope_of`."""
    return _scope(str(scope.get("name", "")), str(scope.get("version", "")), json_pairs(scope.get("attributes")))


def _scope(name: str, version: str, attributes: dict[str, Any]) -> dict[str, Any]:
    found = {"name": name, "version": version, "attributes": attributes}
    return {key: value for key, value in found.items() if value}


def dumped(value: Any) -> bytes:
    """A value as JSON."""
    return orjson.dumps(value)


def source_text(attributes: Mapping[str, Any], scope: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Host and service separated by a tab, and resource and scope as they stand in a line's JSON."""
    names = (str(attributes.get(name) or "") for name in ("host.name", "service.name"))
    columns = "\t".join(" ".join(name.split()) for name in names)
    parts = {"resource": attributes, "scope": scope}
    given = [b'"%s":%s' % (name.encode(), dumped(part)) for name, part in parts.items() if part]
    return columns.encode("utf-8", "replace"), b",".join(given)


def hex_of(identity: Any) -> str:
    """An id of JSON in lower case; "" where it is not hexadecimal."""
    try:
        return binascii.unhexlify(identity).hex() if identity else ""
    except (binascii.Error, TypeError, ValueError):
        return ""
