"""Classify: which kind of line it is, for the lines of a file or for those that an alert is about.

A line classifier sees a line as its template, its masked message, level, format and component. Lines
that are equal in these are one to it, so a log is classified by its distinct lines.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.clock import Clock
from engine.parsing.header import text_of
from engine.parsing.parsed import Parsed
from engine.serving.hot_swap import Follower
from engine.steps.parse import BadLineError, Parser
from foundation.documents.alert import LineClassification
from models.base import ModelError
from models.classify.base import CLASSES, NORMAL, Key, Lines
from models.classify.scoring import LineScorer

log = logging.getLogger(__name__)

_NUMBER = re.compile("[0-9]+")


class ClassifySettings(BaseModel):
    """The line classifier that assigns a category to the line of an alert."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        description="Name of the line classifier in the store; its `current` version is followed. `rules` does not "
        "need a store: if no version is published, the built-in rules are used."
    )
    store: str = Field(
        "",
        description="Folder or fsspec URL of its model store; empty for the one in [model]. Without "
        "either, only `rules` can be used.",
    )
    poll_s: Annotated[float, Field(gt=0)] = Field(10.0, description="Interval of checks for a new version, in seconds.")
    device: str = Field("auto", description="`cpu`, `cuda`, or `auto`, which uses a GPU if one is available.")
    max_lines: Annotated[int, Field(ge=1)] = Field(
        20,
        description="Maximum number of lines classified per alert, the last ones of its window. Classifiers with an "
        "encoder need 10 to 20 ms for each unseen line.",
    )
    explain: bool = Field(False, description="Give the reasons for the class of each line. Costs time for alerts only.")


LineKey = tuple[int, int, int, int, bytes | str]
"""Format, number of the masked text, template, level and component of a line; valid for one `Parsed.generation`."""


def line_keys(parsed: Parsed) -> list[LineKey]:
    """The key of every good line; lines with equal keys are one line to a classifier."""
    text = parsed.rows.text[parsed.good.rows]
    columns = (parsed.format(), text, parsed.good.template, parsed.level())
    return list(zip(*(column.tolist() for column in columns), parsed.texts("component"), strict=True))


def keyed_lines(parsed: Parsed, places: Mapping[LineKey, int], templates: Mapping[int, str]) -> Lines:
    """Lines as classifiers see them.

    Args:
        parsed: The batch.
        places: A good line with each key.
        templates: The text of every template announced so far, those of the batch included.
    """
    return Lines.of(
        [parsed.masked(i) for i in places.values()],
        [templates[key[2]] for key in places],
        levels=[parsed.level_names[key[3]] for key in places],
        formats=[parsed.formats[key[0]].name for key in places],
        components=[component_of(key[4]) for key in places],
    )


def lines_of(parsed: Parsed, templates: Mapping[int, str]) -> tuple[Lines, NDArray[np.int64]]:
    """The distinct lines of a batch as classifiers see them.

    Args:
        parsed: The batch.
        templates: See `keyed_lines`.

    Returns:
        The distinct lines, and int64 (n,): which of them each good line is.
    """
    number = dict[LineKey, int]()
    of = np.array([number.setdefault(key, len(number)) for key in line_keys(parsed)], np.int64)
    first = np.unique(of, return_index=True)[1]
    return keyed_lines(parsed, dict(zip(number, first.tolist(), strict=True)), templates), of


def component_of(component: bytes | str) -> str:
    """A component as classifiers see it: with its numbers masked, which would make every thread another one."""
    return _NUMBER.sub("<NUM>", component if isinstance(component, str) else text_of(component))


class ServingClassifier:
    """One version of a line classifier in service; see `engine.serving.hot_swap.Serving`."""

    def __init__(self, name: str, version: int, scorer: LineScorer) -> None:
        self.name = name
        self.version = version
        self.scorer = scorer

    def catch_up(self) -> None:
        """Do nothing: templates are encoded on request, and only for alerts."""

    def try_out(self) -> None:
        """Classifies one line as a trial.

        Raises:
            ModelError: it cannot.
        """
        trial = self.scorer.probabilities(Lines.of(["connection refused"], levels=["error"]))
        if not np.isfinite(trial).all():
            raise ModelError(f"{self.name} version {self.version} gives {trial.tolist()}, not finite numbers")

    def rest(self) -> None:
        """See `Serving.rest`; the next alert loads it again."""
        self.scorer.classifier.rest()


AboutWindow = tuple[Sequence[str], Sequence[bytes]]
"""The template text of each line of a window, and its last raw lines, all of them or fewer."""


class Classify(Protocol):
    """Classify the lines of windows.

    Attributes:
        max_lines: Lines of a window that are looked at, the last ones.
    """

    max_lines: int

    def __call__(self, windows: Sequence[AboutWindow]) -> list[LineClassification | None]:
        """The class for the alert of each window; None if there is no result."""
        ...


class AlertClassifier:
    """Classifies the windows of due alerts with the classifier in service; a `Classify`.

    Raw lines are parsed again here, which costs nothing as long as there is no alert.
    """

    def __init__(
        self, settings: ClassifySettings, follower: Follower[ServingClassifier], parser: Parser, clock: Clock,
        count: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """Takes the running parts.

        Args:
            settings: What is classified.
            follower: Holds the classifier.
            parser: Takes raw lines apart as the engine does; it mines nothing.
            clock: Gives years to lines without one.
            count: Called with the class of every window.
        """
        self.max_lines = settings.max_lines
        self._explain = settings.explain
        self._count = count
        self._follower = follower
        self._parser = parser
        self._clock = clock
        self._said: set[str] = set()

    def __call__(self, windows: Sequence[AboutWindow]) -> list[LineClassification | None]:
        """See `Classify`. A class that fails is reported once and left out; the alert is sent without it."""
        if not self._follower.ready or not windows:
            return [None] * len(windows)
        serving = self._follower.get()
        try:
            parts = [self._lines(texts[-self.max_lines :], raw[-self.max_lines :]) for texts, raw in windows]
            keys = [key for part in parts for key in part.keys()]
            found = serving.scorer.probabilities(_of_keys(keys))
            return self._classified(serving, parts, [texts for texts, _ in windows], found)
        except Exception as error:
            # No error of a classifier (such as a device without memory) may end the flow.
            self._report(f"{serving.name} version {serving.version}", error)
            return [None] * len(windows)

    def _lines(self, templates: Sequence[str], raw: Sequence[bytes]) -> Lines:
        """The lines of one window; of those that are no longer held nothing but the template is known."""
        unheld = len(templates) - len(raw)
        keys: list[Key] = [(text, text, "", "", "") for text in templates[:unheld]]
        read_ns = self._clock.wall_ns()
        for text, line in zip(templates[unheld:], raw, strict=True):
            try:
                fields = self._parser.take_apart(line, read_ns)
            except BadLineError:
                keys.append((text, text, "", "", ""))
                continue
            masked = self._parser.masked(fields)
            keys.append((text, masked, fields.level, fields.format, component_of(fields.component)))
        return _of_keys(keys)

    def _classified(
        self, serving: ServingClassifier, parts: list[Lines], texts: list[Sequence[str]], found: NDArray[np.float32]
    ) -> list[LineClassification | None]:
        classified: list[LineClassification | None] = []
        start = 0
        for part, templates in zip(parts, texts, strict=True):
            mine, start = found[start : start + len(part)], start + len(part)
            if not len(part):
                classified.append(None)
                continue
            at = int(mine[:, NORMAL].argmin())  # the category is that of the least normal line
            best = int(mine[at].argmax())
            reasons = serving.scorer.explain(part.take(np.array([at])))[0] if self._explain else None
            self._count(CLASSES[best])
            line = len(templates) - len(part) + at
            classified.append({
                "model": serving.name,
                "version": serving.version,
                "class": CLASSES[best],
                "probability": float(mine[at, best]),
                "line": line,
                "text": templates[line],
                "probabilities": {name: float(p) for name, p in zip(CLASSES, mine[at], strict=True)},
                "reasons": None if reasons is None else [{"what": r.what, "value": float(r.value)} for r in reasons],
            })  # fmt: skip
        return classified

    def _report(self, who: str, error: Exception) -> None:
        """Report each kind of error once, since every alert would repeat it."""
        kind = f"{who} {type(error).__name__}"
        if kind not in self._said:
            self._said.add(kind)
            log.warning("alerts go out without a class: %s: %s", who, error)


def _of_keys(keys: list[Key]) -> Lines:
    templates, messages, levels, formats, components = zip(*keys, strict=True) if keys else [()] * 5
    return Lines.of(messages, templates, levels=levels, formats=formats, components=components)
