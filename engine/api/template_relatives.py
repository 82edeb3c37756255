"""Templates that a template covers, and those that cover it.

Drain makes a template wider when a word of it varies, and the wider text has an id of its own. So the lines of one
event are counted under the narrow template first, and under the wide one from then on.
"""

from typing import Annotated

import sqlalchemy as sa
from pydantic import BaseModel, Field

from connectors.sql_schema import TEMPLATES
from engine.api.services import Services

WILDCARD = "<*>"
SHOWN = 50
"""Relatives of each kind in an answer, those seen last."""


class Relative(BaseModel):
    """A template with the same words, some of which vary in one of the two."""

    id: str
    text: str
    first_seen: Annotated[str, Field(description="Event time of its first line ever counted.")]
    last_seen: str


class Relatives(BaseModel):
    """The narrower and the wider templates of one event."""

    covers: Annotated[list[Relative], Field(description="Narrower templates, from which it may have been made.")]
    covered_by: Annotated[list[Relative], Field(description="Wider templates, which may have been made from it.")]


def relatives_of(services: Services, text: str) -> Relatives:
    """Templates of all regions that cover a text or are covered by it, the one seen last first."""
    table, words = TEMPLATES.c, text.split(" ")
    first, last = sa.func.min(table.first_seen), sa.func.max(table.last_seen)
    query = sa.select(table.id, table.text, first, last).group_by(table.id, table.text)
    narrow, wide = [], []
    for identity, other, first_seen, last_seen in services.database.tuples(query):
        others = other.split(" ")
        if len(others) == len(words) and others != words:
            found = Relative(id=identity, text=other, first_seen=first_seen, last_seen=last_seen)
            if covers(words, others):
                narrow.append(found)
            elif covers(others, words):
                wide.append(found)
    return Relatives(covers=_newest(narrow), covered_by=_newest(wide))


def covers(wide: list[str], narrow: list[str]) -> bool:
    """Whether words are those of a narrower template of the same length, apart from wildcards.

    A template of nothing but wildcards stands for lines of any event and covers nothing.
    """
    if all(word == WILDCARD for word in wide):
        return False
    return all(a in (WILDCARD, b) for a, b in zip(wide, narrow, strict=True))


def _newest(found: list[Relative]) -> list[Relative]:
    return sorted(found, key=lambda relative: (relative.last_seen, relative.id), reverse=True)[:SHOWN]
