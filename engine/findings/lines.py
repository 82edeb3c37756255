"""Turns parsed lines into the columns that detectors see: template, level, host and sampled numbers."""

import re
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from engine.findings.base import NO_NODE, LineColumns, State, Values
from engine.findings.block_loops import has_span
from engine.findings.codes import Codes
from engine.findings.number_loops import find_numbers
from engine.findings.templates import TemplateTable, with_status
from engine.formats.http_status import KINDS, NAMES
from engine.parsing.parsed import Parsed
from engine.parsing.parsed_columns import SPANNED

_MESSAGE, _HOST, _COMPONENT, _THREAD = 0, 1, 2, SPANNED.index("thread")
THREAD = "thread "
"""What the name of a thread begins with among the names of hosts."""
_THREAD_MARK = 0x5BD1E995
_LONG_NUMBER = re.compile(r"\d{5,}")
"""An id in the name of a thread; shorter numbers count threads."""
MAX_NODES = 20_000
MAX_SLOTS = 20_000
_LOOKED_AT = 400
"""Bytes of a message in which numbers are looked for."""
_MAX_NUMBERS = 12
"""Numbers in one message that are looked at."""
_PLACES = [[f"{at}/{of}" for at in range(1, of + 1)] for of in range(_MAX_NUMBERS + 1)]
# `engine.findings.number_loops` finds the same.
_NUMBER = re.compile(
    rb"(?<![\w.:/-])-?(\d{1,15}(?:\.\d{1,9})?)"
    rb"(?=(?: ?(ns|us|ms|msec|secs?|seconds?|s|KB?|kB|MB?|GB?|bytes|B|%)(?!=))?(?![\w%]|[.:/-]\d))"
)
_BEFORE = re.compile(rb"([A-Za-z][A-Za-z_.-]{1,24})[\"']?(?: ?[=:] ?| )-?$")
_LONGEST_NAME = 30
_REQUEST_TIME = b"time"
"""What a fraction without a name is called in an access log: servers append the seconds that a request took."""
_PAIR = re.compile(rb'(?:^|\s)([A-Za-z_][\w.-]{0,40})="?(-?\d{1,15}(?:\.\d{1,9})?)"?(?=\s|$)')
_NO_MEASURE = re.compile(r"(?i)(?:^|[._-])(?:id|pid|tid|port|ts|time|timestamp|line|thread|seq|version)$|Id$|_at$")

_STATUS_FIELD = re.compile(
    rb'"(?:http[._])?(?:response[._])?(?:status|status_?code|statusCode|DownstreamStatus|sc-status)"'
    rb' ?: ?"?([1-5][0-9]{2})\b'
)
_FAILED = NAMES.index("DENIED")
"""From this kind of status on a request did not do what it was to do."""

_MEASURE = re.compile(
    r"(?i)(?:^|[^a-z])(?:ns|us|ms|msec|s|secs?|seconds?|%|[kmg]?b)(?:[^a-z]|$)|latenc|duration|elapsed|took|delay|\btime\b|_time|timeout"
    r"|wait|pause|lag\b|bytes|size|queue|depth|backlog|pending|memory|heap|used|usage|load|total|count|retr|attempt|status"
    r"|code|exit|error|fail|cpu|rss|conn|(?<=[a-z])(?-i:Ms|Ns|Us|Secs?|Seconds|Time|[KMG]i?[Bb])(?![a-z])"
)


def is_measure(name: str) -> bool:
    """Whether the name of a number (see `ColumnReader.slots`) suggests a measurement."""
    return _MEASURE.search(name) is not None


@dataclass(frozen=True, slots=True)
class ReadLines:
    """Lines as columns, and the batch they are in, for the messages.

    Attributes:
        columns: One row per good line; without sampled numbers.
        parsed: The lines.
    """

    columns: LineColumns
    parsed: Parsed

    def message(self, i: int) -> bytes:
        """The message of line `i` of these."""
        rows = self.parsed.rows
        row = int(self.parsed.good.rows[i])
        if rows.fields and (fields := rows.fields.get(row)) is not None:
            return fields.message.encode("utf-8", "surrogatepass")
        start, end = rows.spans[row, _MESSAGE].tolist()
        return self.parsed.good.lines.data[start:end]

    def numbers(self, chosen: NDArray[np.int64]) -> list[list[tuple[str, float]]]:
        """The numbers in some of these lines by place, of documents those in their fields as well.

        A place is the name of a field, or which number of how many in the message it is (`2/5`).
        """
        rows, data = self.parsed.good.rows[chosen], self.parsed.good.lines.data
        starts, ends = (places.copy() for places in self.parsed.rows.spans[rows, _MESSAGE].T)
        found, counts = np.empty((len(chosen), _MAX_NUMBERS, 2), np.int64), np.empty(len(chosen), np.int64)
        find_numbers(np.frombuffer(data, np.uint8), starts, np.minimum(ends, starts + _LOOKED_AT), found, counts)
        numbers = [
            [(place, float(data[a:b])) for place, (a, b) in zip(_PLACES[count], places, strict=False)]
            if count <= _MAX_NUMBERS else []
            for places, count in zip(found.tolist(), counts.tolist(), strict=True)
        ]  # fmt: skip
        if self.parsed.rows.fields:
            for at, (i, row) in enumerate(zip(chosen.tolist(), rows.tolist(), strict=True)):
                if row in self.parsed.rows.fields:
                    numbers[at] = self._of_document(i, row)
        return numbers

    def _of_document(self, i: int, row: int) -> list[tuple[str, float]]:
        found = _NUMBER.findall(self.message(i)[:_LOOKED_AT])
        places = _PLACES[len(found)] if len(found) <= _MAX_NUMBERS else ()
        numbers = [(place, float(number)) for place, (number, _) in zip(places, found, strict=False)]
        return numbers + _fields(self.parsed.good.lines.line(row))

    def name(self, i: int, place: str) -> str:
        """What a number in line `i` is called: the word before it, its unit and its place."""
        at, slash, _ = place.partition("/")
        if not slash or not at.isdecimal():
            return place
        message = self.message(i)[:_LOOKED_AT]
        match = list(_NUMBER.finditer(message))[int(at) - 1]
        before = _BEFORE.search(message[max(0, match.start() - _LONGEST_NAME) : match.start(1)])
        word, unit = b"" if before is None else before[1], match[2] or b""
        if not word and b"." in match[1] and self.parsed.formats[int(self.parsed.format()[i])].http:
            word = _REQUEST_TIME
        return f"{word.decode()} {unit.decode()} {place}"


class ColumnReader:
    """Numbers templates, hosts and the places of numbers of one source.

    Attributes:
        table: The templates.
        nodes: Names of hosts and threads by number; 0 means neither.
        slots: The places of numbers, by number: the template, and the name of a field, or in a message the word
            before, the unit and which number of how many it is (`took ms 2/5`).
    """

    def __init__(self, state: State | None = None) -> None:
        saved = state or {}
        self.table = TemplateTable(saved.get("table"))
        self.nodes: list[str] = list(saved.get("nodes", [""]))
        self._hosts = Codes(MAX_NODES, known=saved.get("hosts"))
        self._node_of: list[int] = list(saved.get("node_of", range(len(self.nodes))))
        self._named = {name: number for number, name in enumerate(self.nodes)}
        self.slots: list[tuple[int, str]] = [(key, name) for key, name in saved.get("slots", ())]
        self._slot_of = {(key, name.rpartition(" ")[2]): i for i, (key, name) in enumerate(self.slots)}
        self._keys: dict[int, NDArray[np.int32]] = {k: v.copy() for k, v in saved.get("keys", {}).items()}
        self._statuses: dict[tuple[int, int], int] = {(k, s): n for k, s, n in saved.get("statuses", ())}
        self._generation = -1
        self._row: int = saved.get("row", 0)

    @property
    def rows(self) -> int:
        """Lines numbered so far."""
        return self._row

    def read(self, parsed: Parsed) -> ReadLines:
        """The columns of a batch; its lines are numbered behind those of the batches before."""
        n = len(parsed)
        row = np.arange(self._row, self._row + n)
        self._row += n
        key = self._key_column(parsed, row)
        if parsed.rows.fields:
            key = self._with_status(parsed, key, row)
        # Numba would compile once more for an array that is read-only.
        time_ns = np.require(parsed.good.time_ns, requirements="W")
        columns = LineColumns(
            row, time_ns, key, parsed.level(), self._nodes(parsed), parsed.good.session, Values.none()
        )
        return ReadLines(columns, parsed)

    def _key_column(self, parsed: Parsed, row: NDArray[np.int64]) -> NDArray[np.int32]:
        requests = [number for number, format in enumerate(parsed.formats) if format.http]
        if parsed.generation != self._generation:
            self._generation = parsed.generation
            for lane in requests:  # they are known by their masked texts, whose numbers have started again
                self._keys.pop(lane, None)
        keys = np.empty(len(parsed), np.int32)
        lane_of = parsed.format()
        one = int(lane_of.min()) == int(lane_of.max())
        for lane in [int(lane_of[0])] if one else np.unique(lane_of).tolist():
            mine = slice(None) if one else np.flatnonzero(lane_of == lane)
            cluster = parsed.rows.text[parsed.good.rows[mine]] if lane in requests else parsed.cluster[mine]
            known = self._known(lane, int(cluster.max()) + 1)
            found = known[cluster]
            if found.min() < 0:
                at = np.arange(len(parsed))[mine]
                for i in np.flatnonzero(found < 0).tolist():
                    if known[cluster[i]] < 0:
                        known[cluster[i]] = self._new(parsed, int(at[i]), int(row[at[i]]))
                found = known[cluster]
            keys[mine] = found
        return keys

    def _with_status(self, parsed: Parsed, key: NDArray[np.int32], row: NDArray[np.int64]) -> NDArray[np.int32]:
        """Separate failed requests from others of their template, if a document has the status in a field."""
        found = [
            (match.start(), kind) for match in _STATUS_FIELD.finditer(parsed.good.lines.data)
            if (kind := int(KINDS[int(match[1])])) >= _FAILED
        ]  # fmt: skip
        if not found:
            return key
        line = np.searchsorted(parsed.good.lines.ends, np.array([at for at, _ in found]))
        at = np.minimum(np.searchsorted(parsed.good.rows, line), len(parsed) - 1)
        for i, here, (_, kind) in zip(at.tolist(), line.tolist(), found, strict=True):
            if parsed.good.rows[i] == here and here in parsed.rows.fields:
                key[i] = self._failed(parsed, i, int(key[i]), kind, int(row[i]))
        return key

    def _failed(self, parsed: Parsed, i: int, key: int, kind: int, row: int) -> int:
        number = self._statuses.get((key, kind))
        if number is None:
            text = with_status(self.table.all[key].text, NAMES[kind])
            number = self._statuses[key, kind] = self.table.number(
                text, max(0, int(parsed.rows.level[parsed.good.rows[i]])), row, int(parsed.good.time_ns[i]), http=False,
                component=self.texts(parsed, i)[_COMPONENT], example=text, status=f"<{NAMES[kind]}>",
            )  # fmt: skip
        return number

    def _known(self, lane: int, size: int) -> NDArray[np.int32]:
        known = self._keys.get(lane)
        if known is None or len(known) < size:
            grown = np.full(max(64, 2 * size), -1, np.int32)
            if known is not None:
                grown[: len(known)] = known
            known = self._keys[lane] = grown
        return known

    def _new(self, parsed: Parsed, i: int, row: int) -> int:
        at = int(parsed.good.rows[i])
        lane = int(parsed.rows.format[at])
        http = parsed.formats[lane].http
        text = parsed.masked(i)
        message, _, component = self.texts(parsed, i)
        time_ns = int(parsed.good.time_ns[i])
        level = max(0, int(parsed.rows.level[at]))  # a level in digits is judged by its words
        return self.table.number(text, level, row, time_ns, http=http, component=component, example=message)

    def _nodes(self, parsed: Parsed) -> NDArray[np.int32]:
        """The host that wrote each line, or the thread where the line names no host."""
        nodes = np.zeros(len(parsed), np.int32)
        for field, mark in (("host", 0), ("thread", _THREAD_MARK)):
            if nodes.all() or not (parsed.rows.fields or has_span(parsed.rows.spans, SPANNED.index(field))):
                continue
            hashes = parsed.hashes(field)
            index = np.flatnonzero((hashes != 0) & (nodes == NO_NODE))
            if len(index):
                nodes[index] = self._numbered(hashes[index] ^ mark, index, parsed)
        return nodes

    def _numbered(self, hashes: NDArray[np.int64], index: NDArray[np.int64], parsed: Parsed) -> NDArray[np.int32]:
        found = self._hosts.of(hashes)
        while len(self._node_of) <= len(self._hosts):
            at = int(index[int(np.argmax(found == len(self._node_of)))])
            name = self.texts(parsed, at)[_HOST] or THREAD + _LONG_NUMBER.sub("*", self._thread(parsed, at))
            if name not in self._named:
                self._named[name] = len(self.nodes)
                self.nodes.append(name)
            self._node_of.append(self._named[name])
        return np.array(self._node_of, np.int32)[found]

    def texts(self, parsed: Parsed, i: int) -> tuple[str, str, str]:
        """Message, host and component of a line."""
        row = int(parsed.good.rows[i])
        if (fields := parsed.rows.fields.get(row)) is not None:
            return fields.message, fields.host, fields.component
        data = parsed.good.lines.data
        message, host, component = (
            data[a:b].decode("utf-8", "backslashreplace") for a, b in parsed.rows.spans[row, :3].tolist()
        )
        return message, host, component

    def host(self, node: int) -> str:
        """The name of a host by its number; "" for a thread and for none."""
        return "" if self.nodes[node].startswith(THREAD) else self.nodes[node]

    def _thread(self, parsed: Parsed, i: int) -> str:
        start, end = parsed.rows.spans[int(parsed.good.rows[i]), _THREAD].tolist()
        return parsed.good.lines.data[start:end].decode("utf-8", "backslashreplace")

    def sample(self, lines: ReadLines, start: int, stop: int, stride: int) -> Values:
        """The numbers in every `stride`-th line of [start, stop); which lines these are depends on their numbers alone.

        Digits of an address, a path or an id are left out.
        """
        columns = lines.columns
        chosen = np.arange(start + int(-columns.row[start]) % stride, stop, stride)
        rows: list[int] = []
        slots: list[int] = []
        values: list[float] = []
        for i, row, key, numbers in zip(
            chosen.tolist(), columns.row[chosen].tolist(), columns.key[chosen].tolist(), lines.numbers(chosen),
            strict=True,
        ):  # fmt: skip
            for place, number in numbers:
                slot = self._slot(lines, i, key, place)
                if slot >= 0:
                    rows.append(row)
                    slots.append(slot)
                    values.append(number)
        return Values(np.array(rows, np.int64), np.array(slots, np.int32), np.array(values))

    def _slot(self, lines: ReadLines, i: int, key: int, place: str) -> int:
        number = self._slot_of.get((key, place))
        if number is None:
            if len(self.slots) >= MAX_SLOTS:
                return -1
            number = self._slot_of[key, place] = len(self.slots)
            self.slots.append((key, lines.name(i, place)))
        return number

    def snapshot(self) -> State:
        """The state; numbers of masked texts end with the parser that gave them."""
        return {
            "table": self.table.snapshot(), "nodes": list(self.nodes), "hosts": self._hosts.known(),
            "node_of": list(self._node_of), "slots": list(self.slots), "row": self._row,
            "keys": {k: v.copy() for k, v in self._keys.items()},
            "statuses": [(k, s, n) for (k, s), n in self._statuses.items()],
        }  # fmt: skip


def _fields(line: bytes) -> list[tuple[str, float]]:
    """The numeric fields of a JSON object or of `key=value` pairs that can be measurements: no times and no ids."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        document = {key.decode(): float(value) for key, value in _PAIR.findall(line)}
    if not isinstance(document, dict):
        return []
    return [
        (name, float(value))
        for name, value in list(document.items())[:40]
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
        and not _NO_MEASURE.search(name)
    ]  # fmt: skip
