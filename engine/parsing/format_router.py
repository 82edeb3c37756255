"""Lanes: the reader and the templates of one format within one partition, and the choice among them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from connectors.base import LineBatch
from engine.formats.masks import Masker
from engine.formats.registry import FORMATS, Format
from engine.parsing.format_detection import (
    NAMES,
    NONE,
    UNKNOWN_AT,
    UNKNOWN_FORMAT,
    FormatDetector,
    Preference,
    format_of,
)
from engine.parsing.header import Header
from engine.parsing.json_reader import JsonReader
from engine.parsing.layout_reader import ShapeReader
from engine.parsing.parse_settings import ParseSettings
from engine.parsing.parsed_columns import Fields, LineReader, Rows
from engine.parsing.skeleton_batch import IdWatch, Scan
from engine.parsing.templates import PartitionTemplates, StateMismatchError, TemplateSettings


def template_rules(format: Format, settings: ParseSettings) -> TemplateSettings:
    """How messages of a format become templates: the settings, and what the format itself asks for."""
    rules = settings.templates
    similarity = max(rules.similarity, format.similarity)
    return rules.model_copy(update={"masks": format.masks + rules.masks, "similarity": similarity})


def masked_message(format: str, message: str) -> str:
    """The masked message of a record under default settings, as a lane of its format mines a template from it.

    Args:
        format: Name of its format, "" where it is not known.
        message: As `engine.offline.export` writes it: in formats of text, what joined a line follows its first
            line end, and no template is mined from it.
    """
    masker, most, textual = _default_masks(format)
    return masker.mask((message.partition("\n")[0] if textual else message)[:most])


def read_again(
    lanes: "Sequence[Lane]", before: LineBatch, batch: LineBatch, index: NDArray[np.int64], rows: Rows
) -> None:
    """Reads the rows at `index`, whose lines have changed, once more by the formats that they were read with.

    Args:
        lanes: By number.
        before: The batch that `rows` was read from.
        batch: The batch with the lines as they are now.
        index: Rows, ascending.
        rows: The columns of these lines.
    """
    rows.move(_starts(batch) - _starts(before))
    for number in np.unique(rows.format[index]).tolist():
        mine = index[rows.format[index] == number]
        part = _gather(batch, mine)
        found = lanes[number].reader.read(part)
        rows.put(mine, found, number, _starts(batch)[mine] - _starts(part))
        rows.bad.update((int(mine[row]), reason) for row, reason in found.bad.items())


@cache
def _default_masks(format: str) -> tuple[Masker, int, bool]:
    """Masks of a format, characters that are looked at, and whether its records are lines of text."""
    settings, entry = ParseSettings(), FORMATS.get(format, UNKNOWN_FORMAT)
    rules = template_rules(entry, settings)
    textual = bool(format) and (entry.header is not None or entry.joins)
    return Masker(rules.masks, http=entry.http), settings.max_message_bytes, textual


class Lane:
    """One format: its reader, and the templates of its lines."""

    def __init__(self, format: Format, settings: ParseSettings, saved: Mapping[str, Any] | None) -> None:
        rules = template_rules(format, settings)
        self.format = format
        self.templates = PartitionTemplates(rules, saved, http=format.http)
        self.reader: LineReader
        self.header: ShapeReader | None = None
        self.document: JsonReader | None = None
        if format.header is None:
            self.reader = self.document = JsonReader(format, settings, self.templates)
        else:
            self.reader = self.header = ShapeReader(format, settings, self.templates)
        self._saved: tuple[int, orjson.Fragment] | None = None

    def snapshot(self) -> orjson.Fragment:
        """The templates as JSON, built again only if they changed."""
        if self._saved is None or self._saved[0] != self.templates.version:
            self._saved = self.templates.version, orjson.Fragment(orjson.dumps(self.templates.snapshot()))
        return self._saved[1]


class Lanes(Protocol):
    """Reads batches with one lane or several."""

    lanes: list[Lane]

    def read(self, batch: LineBatch) -> Rows:
        """As `engine.parsing.parsed_columns.LineReader.read`; `Rows.format` is the lane that read a line."""
        ...

    def take_apart(self, line: bytes, read_ns: int) -> Fields:
        """As `engine.parsing.parsed_columns.LineReader.take_apart`; the format is in `Fields.format`."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """JSON-compatible state."""
        ...

    def progress(self) -> object:
        """Equal for two moments if nothing but templates differs between their snapshots."""
        ...


class OneLane:
    """Lines of a format that is known."""

    def __init__(self, format: Format, settings: ParseSettings, saved: Mapping[str, Any] | None) -> None:
        if saved is not None and "lanes" in saved:
            raise StateMismatchError("the saved state is of a source whose formats are detected (format = 'auto')")
        self._lane = Lane(format, settings, saved)
        self.lanes = [self._lane]

    def read(self, batch: LineBatch) -> Rows:
        """See `Lanes`."""
        return self._lane.reader.read(batch)

    def take_apart(self, line: bytes, read_ns: int) -> Fields:
        """See `Lanes`."""
        return self._lane.reader.take_apart(line, read_ns)

    def snapshot(self) -> dict[str, Any]:
        """See `Lanes`."""
        return self._lane.templates.snapshot()

    def progress(self) -> object:
        """See `Lanes`."""
        return None


class _Known(dict[bytes, int]):
    def __missing__(self, key: bytes) -> int:
        return -1


class DetectedLanes:
    """Lines whose formats are recognised, one lane for each format.

    The format of a skeleton is remembered where it holds for all lines of the skeleton, see
    `FormatDetector.detect`, separately for every preference it was found under.
    """

    def __init__(self, settings: ParseSettings, saved: Mapping[str, Any] | None) -> None:
        if saved is not None and "lanes" not in saved:
            raise StateMismatchError("the saved state is of a source with one given format, not format = 'auto'")
        kept = {} if saved is None else saved["lanes"]
        formats = [format_of(number) for number in range(len(NAMES))]
        self.lanes = [Lane(format, settings, kept.get(format.name)) for format in formats]
        headers = {i: lane.header.header for i, lane in enumerate(self.lanes[:UNKNOWN_AT]) if lane.header is not None}
        documents = {i: lane.document for i, lane in enumerate(self.lanes) if lane.document is not None}
        self._detector = FormatDetector(headers, documents)
        self._watch = IdWatch()
        self._preference = Preference(None if saved is None else saved["preference"])
        self._known: dict[int, _Known] = {}
        self._once: set[bytes] = set()
        self._headers: dict[int, Header] = {}  # of the lines whose format was detected, by their row
        self._max_shapes = settings.max_shapes
        self._max_line = settings.max_message_bytes

    def read(self, batch: LineBatch) -> Rows:
        """See `Lanes`."""
        if max((len(self._once), *map(len, self._known.values()))) > self._max_shapes:
            self._known.clear()
            self._once.clear()
        rows = Rows.empty(len(batch), container=True)
        start = 0
        while start < len(batch):
            stop = min(len(batch), start + self._preference.left())
            whole = stop - start == len(batch)
            part = batch if whole else _cut(batch, start, stop)
            shift = 0 if start == 0 else int(batch.ends[start - 1]) + 1
            self._read_part(part, start, shift, rows)
            self._preference.count(rows.format[start:stop])
            start = stop
        return rows

    def _read_part(self, batch: LineBatch, first: int, shift: int, rows: Rows) -> None:
        preferred = self._preference.format
        reader = None if preferred == NONE else self.lanes[preferred].header
        scan = Scan.of(batch, seek=self._watch.on and reader is not None and reader.id_blind)
        formats = self._formats(batch, scan)
        present = np.unique(formats).tolist()
        if len(present) == 1:
            self._read_lane(present[0], np.arange(len(batch)), batch, batch, scan, first, shift, rows)
            return
        for number in present:
            index = np.flatnonzero(formats == number)
            self._read_lane(number, index, batch, _gather(batch, index), None, first, shift, rows)

    def _formats(self, batch: LineBatch, scan: Scan) -> NDArray[np.int16]:
        preferred = self._preference.format
        known = self._known.setdefault(preferred, _Known())
        self._headers.clear()
        formats = np.fromiter(map(known.__getitem__, scan.names), np.int16, len(batch))
        unsure = scan.unsure(batch, self._max_line)
        formats[unsure] = -1
        missed = np.flatnonzero(formats < 0).tolist()
        self._watch.saw(scan, len(missed))
        for row in missed:
            name = scan.names[row]
            found = known[name]
            if found < 0 or row in unsure:
                ids = scan.has_ids(row)
                found, certain, header = self._detector.detect(_line(batch, row), batch.read_ns, preferred, ids=ids)
                if header is not None:
                    self._headers[row] = header
                if certain and row not in unsure:
                    # A skeleton that occurs only once is not kept, to save memory.
                    if name in self._once:
                        known[name] = found
                        self._once.discard(name)
                    else:
                        self._once.add(name)
            formats[row] = found
        return formats

    def _read_lane(
        self,
        number: int,
        index: NDArray[np.int64],
        batch: LineBatch,
        part: LineBatch,
        scan: Scan | None,
        first: int,
        shift: int,
        rows: Rows,
    ) -> None:
        lane = self.lanes[number]
        if lane.header is None:
            found = lane.reader.read(part)
        else:
            found = lane.header.read(part, scan, self._headers_of(index))
        if part is batch:
            rows.put(slice(first, first + len(batch)), found, number, shift)
        else:
            rows.put(index + first, found, number, _starts(batch)[index] - _starts(part) + shift)
        for row, reason in found.bad.items():
            at = int(index[row])
            again = UNKNOWN_AT
            if number != UNKNOWN_AT:
                again, *_ = self._detector.detect(_line(batch, at), batch.read_ns, self._preference.format)
            if again == number:
                rows.bad[at + first] = reason
                continue
            only = np.array([at])
            self._read_lane(again, only, batch, _gather(batch, only), None, first, shift, rows)

    def _headers_of(self, index: NDArray[np.int64]) -> dict[int, Header]:
        """What is known of the headers of the rows at `index`, by their place in it."""
        if not self._headers:
            return {}
        asked = np.fromiter(self._headers, np.int64, len(self._headers))
        at = np.minimum(np.searchsorted(index, asked), len(index) - 1)
        among = index[at] == asked
        return {i: self._headers[row] for i, row in zip(at[among].tolist(), asked[among].tolist(), strict=True)}

    def take_apart(self, line: bytes, read_ns: int) -> Fields:
        """See `Lanes`; the line is taken to be the next of its source, but leaves no trace."""
        number, *_ = self._detector.detect(line, read_ns, self._preference.format)
        return self.lanes[number].reader.take_apart(line, read_ns)

    def snapshot(self) -> dict[str, Any]:
        """See `Lanes`."""
        kept = {lane.format.name: lane.snapshot() for lane in self.lanes if len(lane.templates)}
        return {"lanes": kept, "preference": self._preference.snapshot()}

    def progress(self) -> object:
        """See `Lanes`."""
        return self._preference.snapshot()


def _starts(batch: LineBatch) -> NDArray[np.int64]:
    starts = np.zeros(len(batch), np.int64)
    starts[1:] = batch.ends[:-1] + 1
    return starts


def _cut(batch: LineBatch, start: int, stop: int) -> LineBatch:
    base = 0 if start == 0 else int(batch.ends[start - 1]) + 1
    ends = batch.ends[start:stop] - base
    data = batch.data[base : int(batch.ends[stop - 1]) + 1]
    return replace(batch, data=data, ends=ends, positions=batch.positions[start:stop], rejects=())


def _gather(batch: LineBatch, index: NDArray[np.int64]) -> LineBatch:
    stops = batch.ends[index] + 1
    starts = _starts(batch)[index]
    data = b"".join([batch.data[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)])
    return replace(batch, data=data, ends=np.cumsum(stops - starts) - 1, positions=batch.positions[index], rejects=())


def _line(batch: LineBatch, row: int) -> bytes:
    return batch.line(row).removesuffix(b"\r")
