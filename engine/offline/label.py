"""Labelled: weak labels for a whole log, by rules."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.offline.export import COLUMNS
from engine.steps.classify import lines_of
from engine.steps.parse import Parsed
from models.classify.base import Key
from models.classify.rules import Rules

LABEL_COLUMNS = (*COLUMNS[:-1], "class", "confidence", "rule", COLUMNS[-1])
"""Fields of a labelled record: those of a parsed one, and the result of the rules; "" where they abstain."""

_REMEMBERED = 50_000
"""Distinct lines whose label is remembered."""


class LogLabeller:
    """Labels batches of one log; a `engine.offline.export.Judge`.

    Attributes:
        classes: Records by class, "" for those without one.
        rules: Records by the rule that decided.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._known: dict[Key, Mapping[str, Any]] = {}
        self.classes: dict[str, int] = {}
        self.rules: dict[str, int] = {}

    def __call__(self, parsed: Parsed, templates: Mapping[int, str]) -> Sequence[Mapping[str, Any]]:
        """Counts the good lines of a batch, and returns their new fields for `LABEL_COLUMNS`."""
        lines, of = lines_of(parsed, templates)
        keys = lines.keys()
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        new = [i for i, key in enumerate(keys) if key not in self._known]
        if new:
            judged = self._rules.judge(lines.take(np.array(new)))
            for i, said, sure in zip(new, judged, self._rules.confidences(judged).tolist(), strict=True):
                rule = None if said.rule is None else self._rules.rules[said.rule]
                self._known[keys[i]] = {
                    "class": rule.class_ if rule else "",
                    "confidence": round(sure, 4) if rule else "",
                    "rule": rule.name if rule else "",
                }
        rows = [self._known[key] for key in keys]
        for i in of.tolist():
            for counts, name in ((self.classes, rows[i]["class"]), (self.rules, rows[i]["rule"])):
                counts[name] = counts.get(name, 0) + 1
        return [rows[i] for i in of.tolist()]
