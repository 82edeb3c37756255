"""The training data of line classifiers: a region's templates with their classes.

Classes by operators take precedence over ground truth, and both over the rules of `models.classify.rules`; a
template without any class is left out. A template represents all of its lines. One in five is held out, by the hash
of its text, so that a template held out in one region is trained on in no other.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from federation.storage.learning import LineSet, Purpose
from models.base import template_id
from models.classify.base import CLASSES, Lines

Provenance = Literal["feedback", "labels"]
RANKS: tuple[Provenance, ...] = ("feedback", "labels")
"""Provenances of a class, by precedence."""

RULES = "rules"
"""Provenance of a class by the rules."""

HELD_OUT = range(80, 100)
"""Hundredths of the templates' hashes that candidates are evaluated on; the others are trained on."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS classes (
    key BLOB NOT NULL, rank INTEGER NOT NULL, class TEXT NOT NULL, time_ns INTEGER NOT NULL,
    received_ns INTEGER NOT NULL, PRIMARY KEY (key, rank)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class TemplateClass:
    """The class of a template.

    Attributes:
        template: Text of the template.
        kind: One of `CLASSES`.
        provenance: Where the class comes from.
        time_ns: Time of the label, UTC ns since the epoch.
    """

    template: str
    kind: str
    provenance: Provenance
    time_ns: int


def store_class(database: sqlite3.Connection, name: bytes, label: TemplateClass, received_ns: int) -> bool:
    """Store the class of the template with this name in the store; whether it was new."""
    changed = database.execute(
        """INSERT INTO classes VALUES (?, ?, ?, ?, ?) ON CONFLICT (key, rank) DO UPDATE SET
        class = excluded.class, time_ns = excluded.time_ns, received_ns = excluded.received_ns
        WHERE excluded.time_ns > classes.time_ns""",
        (name, RANKS.index(label.provenance), label.kind, label.time_ns, received_ns),
    ).rowcount
    return bool(changed)


def classes_of(database: sqlite3.Connection) -> dict[bytes, tuple[str, Provenance]]:
    """Class and provenance of every labelled template, by its name in the store."""
    rows = database.execute("SELECT key, class, rank FROM classes ORDER BY rank DESC").fetchall()
    return {name: (kind, RANKS[rank]) for name, kind, rank in rows}


def line_set(texts: Iterable[str], labelled: Mapping[str, tuple[str, Provenance]], purpose: Purpose) -> LineSet:
    """The templates for a purpose, sorted by text.

    Args:
        texts: Texts of a region's templates.
        labelled: Class and provenance of the labelled ones, by text.
        purpose: HOLDOUT, or any other for training.
    """
    from models.classify.rules import Rules, RulesSettings

    held = purpose is Purpose.HOLDOUT
    chosen = sorted({text for text in texts if (template_id(text) % 100 in HELD_OUT) == held})
    rules = Rules(RulesSettings.model_validate({}))
    judged = rules.judge(Lines.of(chosen))
    found: list[tuple[str, str, float, str]] = []
    for text, judgement, sure in zip(chosen, judged, rules.confidences(judged).tolist(), strict=True):
        if text in labelled:
            kind, provenance = labelled[text]
            found.append((text, kind, 1.0, provenance))
        elif judgement.rule is not None:
            found.append((text, rules.rules[judgement.rule].class_, sure, RULES))
    return LineSet(
        Lines.of([text for text, *_ in found]),
        np.array([CLASSES.index(kind) for _, kind, *_ in found], np.int64),
        np.array([weight for *_, weight, _ in found], np.float64),
        tuple(provenance for *_, provenance in found),
    )
