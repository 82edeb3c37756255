"""The lines of a request as JSON, each with its class.

Lines that a classifier cannot tell apart share all of their entry but the line itself and its message, so that part is
written once and kept.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from connectors.base import LineBatch
from engine.offline.classify import in_words
from engine.steps.classify import LineKey, keyed_lines, line_keys
from engine.steps.parse import Parsed, Parser, ParseSettings
from models.classify.base import CLASSES, Lines
from models.classify.scoring import LineScorer

MAX_REASONS_CHARS = 2_000

KEPT_ENDINGS = 50_000
"""Kinds of lines whose part of an entry is kept."""

UNKNOWN = "unknown"
"""Format of a line that could not be parsed."""

_PARSE = ParseSettings(max_join_lines=0)
"""Each line is a record of its own: an answer has one entry for every line."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What an entry has besides line, format, message and class."""

    probabilities: bool
    templates: bool
    reasons: bool


@dataclass(slots=True)
class Tally:
    """Lines by class, in the order of `CLASSES`, and by format."""

    classes: list[int] = field(default_factory=lambda: [0] * len(CLASSES))
    formats: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Ending:
    """The part of an entry that equal lines share.

    Attributes:
        middle: What stands between the line and its message.
        end: What stands behind the message.
        kind: Index of the class.
        format: Name of the format.
        lines: Lines of the current batch.
    """

    middle: bytes
    end: bytes
    kind: int
    format: str
    lines: int = 0


class RequestClassifier:
    """Classifies lines in their order; for one request at a time.

    Attributes:
        scorer: Gives the classes.
        shown: What entries have.
        lines: Lines classified so far.
    """

    def __init__(self, scorer: LineScorer, shown: Shown) -> None:
        self._parser = Parser(_PARSE, lambda partition, position: f"line {position + 1}")
        self._templates: dict[int, str] = {}
        self._endings: dict[LineKey, _Ending] = {}
        self._generation = 0
        self.scorer = scorer
        self.shown = shown
        self.lines = 0

    def entries(self, block: bytes, now_ns: int, tally: Tally) -> bytes:
        r"""One entry a line as JSON, each followed by a comma; a line that cannot be parsed is classified by its text.

        Args:
            block: Lines, each followed by `\n`.
            now_ns: Wall clock, which gives years to lines without one.
            tally: Counts the lines.
        """
        first = self.lines
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)
        raw = block.decode("utf-8", "replace").split("\n")[:-1]
        self.lines += len(raw)
        batch = LineBatch(
            "request", block, ends, np.arange(first, first + len(raw), dtype=np.int64), now_ns, now_ns
        )  # fmt: skip
        entries = [b""] * len(raw)
        for parsed in (self._parser.parse(batch), self._parser.finish()):
            if parsed is not None:
                self._add(parsed, first, raw, entries, tally)
        self._add_unread([i for i, entry in enumerate(entries) if not entry], raw, entries, tally)
        return b"".join(entries)

    def _add(self, parsed: Parsed, first: int, raw: Sequence[str], entries: list[bytes], tally: Tally) -> None:
        """Write the entries of lines that were parsed."""
        keys = line_keys(parsed)
        endings = self._endings_of(parsed, keys)
        at = (parsed.good.lines.positions[parsed.good.rows] - first).tolist()
        for i, key, message in zip(at, keys, parsed.messages(), strict=True):
            ending = endings[key]
            ending.lines += 1
            entries[i] = b"".join((b'{"raw":', _json(raw[i]), ending.middle, _json(message), ending.end))
        for ending in {id(found): found for found in map(endings.__getitem__, set(keys))}.values():
            tally.classes[ending.kind] += ending.lines
            tally.formats[ending.format] += ending.lines
            ending.lines = 0

    def _endings_of(self, parsed: Parsed, keys: Sequence[LineKey]) -> dict[LineKey, _Ending]:
        """The endings of a batch and of earlier ones, those of new lines made."""
        self._templates.update(parsed.good.templates)
        if parsed.generation != self._generation or len(self._endings) > KEPT_ENDINGS:
            self._endings, self._generation = {}, parsed.generation
        new: dict[LineKey, int] = {}
        for i, key in enumerate(keys):
            if key not in self._endings:
                new.setdefault(key, i)
        if new:
            made = self._made(keyed_lines(parsed, new, self._templates))
            self._endings.update(zip(new, made, strict=True))
        return self._endings

    def _add_unread(self, places: Sequence[int], raw: Sequence[str], entries: list[bytes], tally: Tally) -> None:
        """Write the entries of lines that are not a record, or only a part of one."""
        if not places:
            return
        for i, ending in zip(places, self._made(Lines.of([raw[i] for i in places]), parsed=False), strict=True):
            line = _json(raw[i])
            entries[i] = b"".join((b'{"raw":', line, ending.middle, line, ending.end))
            tally.classes[ending.kind] += 1
            tally.formats[ending.format] += 1

    def _made(self, lines: Lines, *, parsed: bool = True) -> list[_Ending]:
        """The endings of lines."""
        rows = np.round(self.scorer.probabilities(lines).astype(np.float64), 6)
        reasons = [""] * len(lines)
        if self.shown.reasons and parsed:
            reasons = [in_words(found)[:MAX_REASONS_CHARS] for found in self.scorer.explain(lines)]
        formats = lines.formats if parsed else [UNKNOWN] * len(lines)
        templates = lines.templates if parsed else [""] * len(lines)
        return [
            self._ending(*given) for given in zip(formats, templates, rows.tolist(), reasons, strict=True)
        ]  # fmt: skip

    def _ending(self, format: str, template: str, row: list[float], reasons: str) -> _Ending:
        best = max(range(len(row)), key=row.__getitem__)
        shares = dict(zip(CLASSES, row, strict=True)) if self.shown.probabilities else None
        content: dict[str, Any] = {
            "template": template if self.shown.templates else None,
            "prediction": {
                "class_index": best, "class_name": CLASSES[best], "confidence": row[best], "probabilities": shares,
            },
        }  # fmt: skip
        if self.shown.reasons:
            content["reasons"] = reasons
        middle = b',"log_type":' + _json(format) + b',"parsed_content":'
        return _Ending(middle, b"," + orjson.dumps(content)[1:] + b",", best, format)


def _json(text: str) -> bytes:
    """Text as JSON; half of a pair of surrogates, which a log may escape, becomes a question mark."""
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        return orjson.dumps(text.encode("utf-8", "replace").decode())
