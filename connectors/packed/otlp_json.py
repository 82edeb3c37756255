"""Messages that are requests of OTLP's log service in JSON (`otlp_json`), read to the same lines as in `otlp`."""

import base64
import ctypes
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from connectors.base import RAW_BYTES, DeadLetter
from connectors.packed.lines import Unpacked
from connectors.packed.otlp_values import (
    NO_REQUEST,
    BrokenRequestError,
    dumped,
    hex_of,
    json_pairs,
    json_scope,
    json_value,
    source_text,
)
from connectors.packed.positions import LINE_BITS

_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_NUMBERS = {
    f"SEVERITY_NUMBER_{level}{part}": 4 * i + j
    for i, level in enumerate(_LEVELS)
    for j, part in enumerate(("", "2", "3", "4"), 1)
}
_SPACES = bytes.maketrans(b"\t\n", b"  ")
_SPACES_IN_BODY = bytes.maketrans(b"\n", b" ")


class OtlpJsonMessages:
    """Reads messages of one partition, which is called `name` in dead letters; `whole` as in `OtlpMessages`."""

    def __init__(self, name: str, *, whole: bool) -> None:
        self._name = name
        self._whole = whole

    def unpack(self, addresses: NDArray[np.int64], sizes: NDArray[np.int64], offsets: NDArray[np.int64]) -> Unpacked:
        """The lines of messages; one that is not a request is a dead letter."""
        lines: list[bytes] = []
        positions: list[NDArray[np.int64]] = []
        letters = []
        for address, size, offset in zip(*(column.tolist() for column in (addresses, sizes, offsets)), strict=True):
            raw = ctypes.string_at(address, size) if size else b""
            try:
                found = list(self._lines(raw))
                if len(found) > 1 << LINE_BITS:
                    raise BrokenRequestError(f"more than {1 << LINE_BITS} lines in one message")
            except (BrokenRequestError, RecursionError) as error:
                reason = f"message refused, {NO_REQUEST}: {error}"
                letters.append(DeadLetter(f"{self._name}/{offset}", reason, raw[:RAW_BYTES], size))
                continue
            lines += found
            positions.append((offset << LINE_BITS) + np.arange(len(found)))
        ends = np.cumsum(np.fromiter(map(len, lines), np.int64, len(lines)) + 1) - 1
        data = b"".join(line + b"\n" for line in lines)
        return Unpacked(data, ends, np.concatenate([np.zeros(0, np.int64), *positions]), tuple(letters))

    def _lines(self, raw: bytes) -> Iterator[bytes]:
        try:
            request = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise BrokenRequestError(str(error)) from error
        if not isinstance(request, dict):
            raise BrokenRequestError("it is not an object")
        for group in _objects(request, "resourceLogs"):
            resource = json_pairs(_object(group, "resource").get("attributes"))
            for part in _objects(group, "scopeLogs"):
                source = source_text(resource, json_scope(_object(part, "scope")))
                for record in _objects(part, "logRecords"):
                    body = _body(record.get("body"))
                    if self._whole:
                        yield _head(record, *source) + body.translate(_SPACES_IN_BODY)
                    else:
                        yield from body.removesuffix(b"\n").split(b"\n")


def _object(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = {} if parent.get(name) is None else parent[name]
    if not isinstance(found, dict):
        raise BrokenRequestError(f"{name} is not an object")
    return found


def _objects(parent: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = [] if parent.get(name) is None else parent[name]
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise BrokenRequestError(f"{name} is not a list of objects")
    return found


def _head(record: Mapping[str, Any], columns: bytes, source: bytes) -> bytes:
    """What stands in front of the body, see `connectors.packed.otlp_render`."""
    attributes = json_pairs(record.get("attributes"))
    parts = [part for part in (source, attributes and b'"attributes":' + dumped(attributes)) if part]
    time_ns = _number(record, "timeUnixNano") or _number(record, "observedTimeUnixNano")
    text = str(np.datetime64(time_ns, "ns")).encode() + b"Z" if 0 < time_ns < 1 << 63 else b""
    ids = (hex_of(record.get(name)).encode() for name in ("traceId", "spanId"))
    return b"\t".join([text, _level(record), columns, *ids, b"{%s}" % b",".join(parts), b""])


def _number(record: Mapping[str, Any], name: str) -> int:
    try:
        return int(record.get(name) or 0)
    except (TypeError, ValueError) as error:
        raise BrokenRequestError(f"{name} is not a whole number") from error


def _level(record: Mapping[str, Any]) -> bytes:
    severity = record.get("severityNumber") or 0
    number = _NUMBERS.get(severity, 0) if isinstance(severity, str) else severity
    if isinstance(number, int) and 1 <= number <= 24:
        return _LEVELS[(number - 1) // 4].encode()
    return str(record.get("severityText") or "").encode("utf-8", "replace").translate(_SPACES)


def _body(value: Any) -> bytes:
    found = json_value(value)
    if isinstance(found, str):
        if isinstance(value, dict) and "bytesValue" in value:
            try:
                return base64.b64decode(found)
            except ValueError as error:
                raise BrokenRequestError(f"bytesValue is not base64 ({error})") from error
        return found.encode("utf-8", "replace")
    return b"" if found is None else dumped(found)
