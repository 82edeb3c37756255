"""Messages that are requests of OTLP's log service in Protocol Buffers (`otlp_proto`), one batch of records each."""

import ctypes
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from connectors.base import RAW_BYTES, DeadLetter
from connectors.packed import otlp_scan as scan
from connectors.packed.compile_loops import compile_otlp
from connectors.packed.lines import LineRoom, Unpacked
from connectors.packed.otlp_render import render_records
from connectors.packed.otlp_values import (
    NO_REQUEST,
    BrokenRequestError,
    dumped,
    pairs_of,
    scope_of,
    source_text,
    value_of,
)
from connectors.packed.positions import LINE_BITS

MOST_SOURCES = 10_000
"""Resources with their scopes whose text is remembered."""

_HEAD_BYTES = 128
"""Most that a line holds besides the parts of its record, its resource and its scope."""

_GROWTH = 6
"""A control character takes six bytes in JSON, and no other byte more."""


class OtlpMessages:
    """Reads messages of one partition, which is called `name` in dead letters.

    With `whole`, a line holds a whole record, see `connectors.packed.otlp_render`. Otherwise it is the record's body,
    of which each line is one of its own.
    """

    def __init__(self, name: str, *, whole: bool) -> None:
        compile_otlp()
        self._name = name
        self._whole = whole
        self._room = LineRoom()
        self._data = np.zeros(0, np.uint8)
        self._records = np.zeros((1024, scan.COLUMNS), np.int64)
        self._resources = np.zeros((64, 4), np.int64)
        self._sources: dict[bytes, tuple[bytes, bytes]] = {}

    def unpack(self, addresses: NDArray[np.int64], sizes: NDArray[np.int64], offsets: NDArray[np.int64]) -> Unpacked:
        """The lines of messages; one that is not a request is a dead letter."""
        ends, totals = self._scan(addresses, sizes)
        reasons = dict.fromkeys(np.flatnonzero(ends < 0).tolist(), NO_REQUEST)
        last = np.maximum.accumulate(np.maximum(ends, 0))
        message = np.repeat(np.arange(len(last)), np.diff(last, prepend=0))
        records, resources = self._records[: totals[0]], self._resources[: totals[1]]
        while True:
            try:
                found = self._render(records, resources, offsets[message] << LINE_BITS)
                break
            except _RecordsError as error:
                refused = {int(message[record]): reason for record, reason in error.reasons.items()}
                reasons |= refused
                keep = ~np.isin(message, list(refused))
                records, message = records[keep], message[keep]
        letters = tuple(
            self._letter(int(offsets[row]), int(addresses[row]), int(sizes[row]), reasons[row])
            for row in sorted(reasons)
        )
        return Unpacked(found.data, found.ends, found.positions, letters)

    def _scan(self, addresses: NDArray[np.int64], sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int]]:
        """Records up to the end of each message, or a negative number; and how many records and resources there are."""
        if len(self._data) < sizes.sum():
            self._data = np.empty(int(sizes.sum()) * 3 // 2, np.uint8)
        ends, totals = np.zeros(len(sizes), np.int64), np.zeros(2, np.int64)
        data = self._data
        while scan.scan_requests(
            addresses, sizes, data, data.ctypes.data, self._records, self._resources, ends, totals
        ):
            self._records = np.zeros((2 * len(self._records), scan.COLUMNS), np.int64)
            self._resources = np.zeros((2 * len(self._resources), 4), np.int64)
        return ends, totals.tolist()

    def _render(
        self, records: NDArray[np.int64], resources: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> Unpacked:
        reasons: dict[int, str] = {}
        texts, places = self._source_texts(records, resources, reasons)
        more, attributes, bodies = self._rest(records, reasons)
        if reasons:
            raise _RecordsError(reasons)
        room, totals = self._room, np.zeros(1, np.int64)
        sizes = records[:, scan.END] - records[:, scan.START]
        source_sizes = places[:, 2] - places[:, 0]
        size = int(_GROWTH * sizes.sum() + source_sizes[records[:, scan.RESOURCE]].sum()) + len(more)
        room.bytes(size + _HEAD_BYTES * len(records))
        addresses = np.array([array.ctypes.data for array in (self._data, more, room.data)], np.int64)
        while True:
            lines = render_records(
                self._data, records, positions, texts, places, more, attributes, bodies, int(self._whole), room.data,
                addresses, room.ends, room.positions, totals,
            )  # fmt: skip
            if lines >= 0:
                data = room.data[: totals[0]].tobytes()
                return Unpacked(data, room.ends[:lines].copy(), room.positions[:lines].copy())
            if lines < -1:
                raise _RecordsError({-2 - lines: f"it holds more than {1 << LINE_BITS} lines"})
            room.more_lines()

    def _source_texts(
        self, records: NDArray[np.int64], resources: NDArray[np.int64], reasons: dict[int, str]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Texts of the resources, and the places of the parts of each; `reasons` as in `_RecordsError`."""
        places, parts, at = np.zeros((len(resources), 3), np.int64), [], 0
        if not self._whole:
            return np.zeros(0, np.uint8), places
        for number, (start, stop, scope, scope_stop) in enumerate(resources.tolist()):
            try:
                columns, json = self._source(self._data[start:stop].tobytes(), self._data[scope:scope_stop].tobytes())
            except BrokenRequestError as error:
                rows = np.flatnonzero(records[:, scan.RESOURCE] == number)
                reasons |= dict.fromkeys(rows.tolist(), f"{NO_REQUEST}: {error}")
                continue
            places[number] = at, at + len(columns), at + len(columns) + len(json)
            parts += [columns, json]
            at += len(columns) + len(json)
        return np.frombuffer(b"".join(parts), np.uint8), places

    def _source(self, resource: bytes, scope: bytes) -> tuple[bytes, bytes]:
        key = b"%d:%s%s" % (len(resource), resource, scope)
        found = self._sources.get(key)
        if found is None:
            if len(self._sources) >= MOST_SOURCES:
                self._sources.clear()
            found = self._sources[key] = source_text(pairs_of(resource, 1), scope_of(scope))
        return found

    def _rest(
        self, records: NDArray[np.int64], reasons: dict[int, str]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """What loops do not write: text, and the places in it of the attributes and of the body of each record."""
        parts: list[bytes] = []
        places = np.zeros((2, len(records), 2), np.int64)
        at = 0
        for column, row in self._slow_parts(records):
            try:
                text = self._body(records[row]) if column else self._attributes(records[row])
            except BrokenRequestError as error:
                reasons[row] = f"{NO_REQUEST}: {error}"
                continue
            places[column, row] = at, at + len(text)
            parts.append(text)
            at += len(text)
        return np.frombuffer(b"".join(parts), np.uint8), places[0], places[1]

    def _slow_parts(self, records: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """0 and the row of each record whose attributes loops do not write, 1 and the row for bodies."""
        if self._whole:
            yield from ((0, row) for row in np.flatnonzero(records[:, scan.PLAIN] == 0).tolist())
        kinds = records[:, scan.KIND]
        yield from ((1, row) for row in np.flatnonzero((kinds >= scan.DOUBLE) & (kinds <= scan.BYTES)).tolist())

    def _attributes(self, record: NDArray[np.int64]) -> bytes:
        start, stop = record[[scan.START, scan.END]].tolist()
        return b'"attributes":' + dumped(pairs_of(self._data[start:stop].tobytes(), 6))

    def _body(self, record: NDArray[np.int64]) -> bytes:
        kind, start, stop = record[[scan.KIND, scan.BODY, scan.BODY_END]].tolist()
        content = self._data[start:stop].tobytes()
        if kind == scan.BYTES:
            return content
        wire = 1 if kind == scan.DOUBLE else 2
        size = b"" if kind == scan.DOUBLE else _size(len(content))
        return dumped(value_of(bytes([kind << 3 | wire]) + size + content))

    def _letter(self, offset: int, address: int, size: int, reason: str) -> DeadLetter:
        raw = ctypes.string_at(address, min(size, RAW_BYTES)) if size else b""
        return DeadLetter(f"{self._name}/{offset}", f"message refused, {reason}", raw, size)


class _RecordsError(Exception):
    """The messages of some records cannot be read; `reasons` by row of the record."""

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__(str(reasons))
        self.reasons = reasons


def _size(number: int) -> bytes:
    """A length as Protocol Buffers write it."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
