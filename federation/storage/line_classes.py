"""What a region learns of the classes of lines: its templates, each with the class that somebody gives it.

Operators' word counts first, ground truth from elsewhere second, and where there is neither, the rules of
`models.classify.rules` say what they are sure of; a template of which nobody says anything is left out.
A template stands for all of its lines. One in five is held out, by the hash of its text, so that what is
held out in one region is trained on in none.
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
"""Who may say what class a template has; an earlier one counts before a later one."""

RULES = "rules"
"""Provenance of a class that the rules give."""

HELD_OUT = range(80, 100)
"""Hundredths of the templates' hashes that candidates are judged on; the others are trained on."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS classes (
    key BLOB NOT NULL, rank INTEGER NOT NULL, class TEXT NOT NULL, time_ns INTEGER NOT NULL,
    received_ns INTEGER NOT NULL, PRIMARY KEY (key, rank)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class TemplateClass:
    """What is said of a template.

    Attributes:
        template: Its text.
        kind: One of `CLASSES`.
        provenance: Who says so.
        time_ns: When it was said, UTC ns since the epoch.
    """

    template: str
    kind: str
    provenance: Provenance
    time_ns: int


def take_class(database: sqlite3.Connection, name: bytes, said: TemplateClass, received_ns: int) -> bool:
    """Takes over what is said of the template that the store knows by that name; whether it was news."""
    changed = database.execute(
        """INSERT INTO classes VALUES (?, ?, ?, ?, ?) ON CONFLICT (key, rank) DO UPDATE SET
        class = excluded.class, time_ns = excluded.time_ns, received_ns = excluded.received_ns
        WHERE excluded.time_ns > classes.time_ns""",
        (name, RANKS.index(said.provenance), said.kind, said.time_ns, received_ns),
    ).rowcount
    return bool(changed)


def classes_of(database: sqlite3.Connection) -> dict[bytes, tuple[str, Provenance]]:
    """Class and provenance of every template that somebody spoke of, by the store's name for it."""
    rows = database.execute("SELECT key, class, rank FROM classes ORDER BY rank DESC").fetchall()
    return {name: (kind, RANKS[rank]) for name, kind, rank in rows}


def line_set(texts: Iterable[str], said: Mapping[str, tuple[str, Provenance]], purpose: Purpose) -> LineSet:
    """The templates that serve a purpose, sorted by text.

    Args:
        texts: Of a region's templates.
        said: Class and provenance by text, where somebody gave one.
        purpose: HOLDOUT, or else what is trained on.
    """
    from models.classify.rules import Rules, RulesSettings

    held = purpose is Purpose.HOLDOUT
    chosen = sorted({text for text in texts if (template_id(text) % 100 in HELD_OUT) == held})
    rules = Rules(RulesSettings.model_validate({}))
    judged = rules.judge(Lines.of(chosen))
    found: list[tuple[str, str, float, str]] = []
    for text, judgement, sure in zip(chosen, judged, rules.confidences(judged).tolist(), strict=True):
        if text in said:
            kind, provenance = said[text]
            found.append((text, kind, 1.0, provenance))
        elif judgement.rule is not None:
            found.append((text, rules.rules[judgement.rule].class_, sure, RULES))
    return LineSet(
        Lines.of([text for text, *_ in found]),
        np.array([CLASSES.index(kind) for _, kind, *_ in found], np.int64),
        np.array([weight for *_, weight, _ in found], np.float64),
        tuple(provenance for *_, provenance in found),
    )
