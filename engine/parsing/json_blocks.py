"""JSON that is not one document a line: documents over several lines, arrays, and batches of records.

- A document may be spread over lines, as pretty-printing does.
- The elements of an array (`[{...}, {...}]`) are records, each as soon as it is complete.
- A document that only wraps records is replaced by them: CloudTrail's and Azure's `Records`, CloudWatch's
  `logEvents`, OTLP's `resourceLogs`, a list of Kubernetes.

A record has the position of the line where it begins. Several records of one line differ in the byte at which
each begins.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import orjson

from engine.parsing.record_block import HeldLines, Placed, lines_of

MOST_BYTES = 4 << 20
"""Greatest size of a document over several lines."""

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)|[\[\]{}]')
_JSON_LINE = re.compile(rb'\s*+(?:["{}\[\],:0-9-]|true|false|null|$)')
_OPENS = re.compile(rb'\{\s*+(?:"|$)|\[\s*+(?:\{|$)')
_WRAPPED = re.compile(
    rb'\{\s*"(?:[Rr]ecords|resourceLogs|entries|messageType|logEvents)"\s*:'
    rb'|\{\s*"(?:kind|apiVersion)"\s*:\s*"[^"]*"\s*,\s*"(?:items|kind|apiVersion)"\s*:'
)
"""How a batch in one line begins."""

_SEVERAL = re.compile(rb"\} ?\{")
"""Documents behind each other in one line, or such text within one."""

_PATHS = {
    "Records": ("Records",), "records": ("records",), "entries": ("entries",), "logEvents": ("logEvents",),
    "resourceLogs": ("resourceLogs", "scopeLogs", "logRecords"), "items": ("items",),
}  # fmt: skip
_OWN_FIELDS = ("message", "msg", "time", "timestamp", "@timestamp", "ts", "level", "severity")
"""A document with one of these is a record itself."""


class JsonKind:
    """See `engine.parsing.record_block.BlockKind`."""

    name = "json"
    formats = ("json", "otel", "ecs", "gelf", "mongodb", "journald", "docker")

    def begin(self, line: bytes) -> "JsonBlock | None":
        """See `BlockKind`."""
        if not _OPENS.match(line):
            return None
        closed = line.startswith(b"{") and line.rstrip().endswith(b"}")
        if closed and not (_WRAPPED.match(line) or _SEVERAL.search(line)):
            return None
        return JsonBlock(in_array=False)

    def restore(self, state: list[Any]) -> "JsonBlock":
        """See `BlockKind`."""
        in_array, brackets, lines = state
        return JsonBlock(in_array=in_array, brackets=brackets.encode(), lines=lines_of(lines))


class JsonBlock(HeldLines):
    """See `engine.parsing.record_block.RecordBlock`."""

    def __init__(self, *, in_array: bool, brackets: bytes = b"", lines: list[Placed] | None = None) -> None:
        super().__init__(lines)
        self._in_array = in_array
        self._brackets = bytearray(brackets)  # open within the record

    def take(self, position: int, line: bytes) -> list[Placed] | None:
        """See `RecordBlock`."""
        if self._bytes + len(line) > MOST_BYTES or not self._fits(line):
            return None
        out: list[Placed] = []
        start, brackets = 0, self._brackets
        for token in _TOKEN.finditer(line):
            mark = token[0]
            if mark in (b"{", b"["):
                if not brackets and mark == b"[" and not self._in_array:
                    self._in_array, start = True, token.end()
                    continue
                if not brackets:
                    start = token.start()
                brackets += mark
            elif mark in (b"}", b"]"):
                if not brackets:
                    self.done = True
                    return out
                brackets.pop()
                if not brackets:
                    out += self._complete(position, start, line[start : token.end()])
                    start = token.end()
        if brackets:
            self._hold(position if self._lines else position + start, line[start:])
        self.done = not self._in_array and not brackets
        return out

    def _fits(self, line: bytes) -> bool:
        """Whether a line can go on with the document: strings are closed, and an object stands where one may."""
        if not _JSON_LINE.match(line) or any(token[1] == b"" for token in _TOKEN.finditer(line)):
            return False
        if not self._lines or not line.startswith(b"{"):
            return True
        before = self._lines[-1][1].rstrip()[-1:]
        return before == b":" or (self._brackets[-1:] == b"[" and before in (b",", b"["))

    def _complete(self, position: int, start: int, last: bytes) -> list[Placed]:
        return list(_records([*self._released(), (position + start, last)]))

    def state(self) -> list[Any]:
        """See `RecordBlock`."""
        return [self._in_array, self._brackets.decode(), super().state()]


def _records(lines: list[Placed]) -> Iterator[Placed]:
    """The records of a document: those that it wraps, each at the byte where it begins, or the document itself."""
    text = b" ".join(line for _, line in lines)
    found = list(unwrapped(text)) if _may_wrap(text) else []
    if not found:
        yield lines[0][0], b" ".join(line.strip() for _, line in lines)
        return
    ends = list(accumulate(len(line) + 1 for _, line in lines))
    for start, record in found:
        row = bisect_right(ends, start)
        yield lines[row][0] + start - (ends[row - 1] if row else 0), record


def _may_wrap(text: bytes) -> bool:
    return any(b'"' + name.encode() + b'"' in text for name in _PATHS)


def unwrapped(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Start and text of each record that a document wraps; none where it is a record itself."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    if not isinstance(document, dict) or any(name in document for name in _OWN_FIELDS):
        return
    for name, path in _PATHS.items():
        if name == "items" and not str(document.get("kind", "")).endswith("List"):
            continue
        if isinstance(document.get(name), list):
            yield from zip(*_with_source(text, document, path), strict=False)
            return


def _with_source(text: bytes, document: dict[str, Any], path: tuple[str, ...]) -> tuple[list[int], list[bytes]]:
    """Starts and texts of the records at the end of a path, each with what the levels above say about its source.

    The texts are those of the document, so that long numbers keep their digits.
    """
    spans = list(_spans(text, path[-1]))
    starts, texts = [start for start, _ in spans], [text[start:end] for start, end in spans]
    if len(path) == 1:
        return starts, texts
    sources = list(_sources(document, path, {}))
    return starts, [_joined(source, record) for source, record in zip(sources, texts, strict=False)]


def _sources(document: dict[str, Any], path: tuple[str, ...], above: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for element in document.get(path[0]) or ():
        if not isinstance(element, dict):
            continue
        if len(path) == 1:
            yield above
        else:
            own = {name: _attributes(element[name]) for name in ("resource", "scope") if name in element}
            yield from _sources(element, path[1:], above | own)


def _attributes(value: Any) -> Any:
    """OTLP's list of attributes as an object, as its log data model has it."""
    if not isinstance(value, dict) or not isinstance(value.get("attributes"), list):
        return value
    pairs = (pair for pair in value["attributes"] if isinstance(pair, dict) and isinstance(pair.get("value"), dict))
    return {str(pair.get("key")): next(iter(pair["value"].values()), None) for pair in pairs}


def _joined(source: dict[str, Any], record: bytes) -> bytes:
    """A record with further fields in front."""
    if not source:
        return record
    inner = record[1:].lstrip()
    return orjson.dumps(source)[:-1] + (b"" if inner.startswith(b"}") else b",") + inner


def _spans(text: bytes, name: str) -> Iterator[tuple[int, int]]:
    """Start and end of each object in the arrays under a name, in the text of a document."""
    key = f'"{name}"'.encode()
    depth, start, before = 0, -1, b""
    inside: list[int] = []
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in (b"{", b"["):
            if mark == b"{" and inside and inside[-1] == depth:
                start = token.start()
            depth += 1
            if mark == b"[" and before == key:
                inside.append(depth)
        elif mark in (b"}", b"]"):
            if inside and inside[-1] == depth:
                inside.pop()
            depth -= 1
            if mark == b"}" and inside and inside[-1] == depth:
                yield start, token.end()
        before = mark if mark.startswith(b'"') else b""
