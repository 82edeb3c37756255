"""Parse: raw lines to event time, template id and session key, as columns.

One `Parser` owns the templates of one partition. For a batch

1. a reader takes every line apart: by its shape where that is known (`engine.parsing.shape_reader`), or
   one by one (`engine.parsing.json_reader`);
2. the good lines get their templates, in line order (`engine.parsing.templates`).

A line that fails becomes a dead letter and touches no other line, also not through the templates.
"""

import numpy as np
import orjson
from numpy.typing import NDArray

from connectors.base import LineBatch
from engine.parsing.formats import find
from engine.parsing.header import BadLine
from engine.parsing.json_reader import JsonReader
from engine.parsing.parse_settings import ParseSettings
from engine.parsing.rows import Describe, Fields, LineReader
from engine.parsing.shape_reader import ShapeReader
from engine.parsing.templates import StateMismatch, Templates
from engine.records import ParsedLines

__all__ = ["BadLine", "Fields", "ParseSettings", "Parser", "StateMismatch", "line_labels"]


class Parser:
    """Parses the lines of one partition, in order.

    Attributes:
        cluster: int32 (n,): Drain's own cluster number of each good line of the last batch, for
            comparison with other implementations; it means nothing outside this object.
        why_slow: Why lines cannot be answered by shape, in one sentence; None where they can.
    """

    def __init__(self, settings: ParseSettings, describe: Describe, snapshot: bytes | None = None) -> None:
        """A parser without templates, or with those of a snapshot.

        Raises:
            ValueError: the session rule is none.
            StateMismatch: the snapshot was made under other template settings.
        """
        self._describe = describe
        saved = None if snapshot is None else orjson.loads(snapshot)
        self._templates = Templates(settings.templates, saved)
        self._reader: LineReader
        format = find(settings.format)
        if format.header is None:
            self._reader = JsonReader(format, settings, self._templates)
        else:
            self._reader = ShapeReader(settings, self._templates)
        self.why_slow = self._reader.why_slow or self._templates.why_slow
        self.cluster: NDArray[np.int32] = np.zeros(0, np.int32)
        self._saved: tuple[int, bytes] | None = None

    def parse(self, batch: LineBatch) -> ParsedLines:
        """Takes a batch apart; never raises for what a line holds.

        What the source itself refused (`LineBatch.rejects`) comes first in `bad`, so that nothing
        behind the parser needs to look for bad lines in two places.
        """
        found = self._reader.read(batch)
        rows = found.good()
        at: NDArray[np.int64] | slice = rows if found.bad else slice(None)
        template, self.cluster = self._templates.assign(found.text[at])
        return ParsedLines(
            lines=batch,
            rows=rows.astype(np.int32),
            time_ns=found.time_ns[at],
            template=template,
            session=found.session[at],
            key_start=found.key_start[at].astype(np.int32),
            key_end=found.key_end[at].astype(np.int32),
            templates=self._templates.take_new(),
            bad=batch.rejects + found.letters(batch, self._describe),
        )

    def take_apart(self, line: bytes, read_ns: int) -> Fields:
        """One line's fields, without its template: the plain way, which `parse` agrees with.

        Raises:
            BadLine: the line does not parse.
        """
        return self._reader.take_apart(line.removesuffix(b"\r"), read_ns)

    @property
    def template_count(self) -> int:
        """Templates known to this partition."""
        return len(self._templates)

    def snapshot(self) -> bytes:
        """The state as JSON; the same bytes object as long as no template changes."""
        if self._saved is None or self._saved[0] != self._templates.version:
            self._saved = self._templates.version, orjson.dumps(self._templates.snapshot())
        return self._saved[1]


def line_labels(format: str, parsed: ParsedLines) -> NDArray[np.bool_] | None:
    """Which good lines are labelled anomalous, bool (n,); None for formats without a label column.

    For data sets only: the label column is the truth to be learnt, never an input of a model.
    """
    entry = find(format)
    if entry.normal_label is None or entry.header is None:
        return None
    found = np.zeros(len(parsed), np.bool_)
    for i, row in enumerate(parsed.rows.tolist()):
        match = entry.header.match(parsed.lines.line(row))
        label = match["label"] if match else None
        found[i] = entry.unlabelled_is_anomalous if label is None else label != entry.normal_label
    return found
