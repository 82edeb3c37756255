"""The lines of a template in alerts, which keep lines of their windows; others are not stored."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

import orjson
import sqlalchemy as sa
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from connectors.sql_schema import ALERTS, TEMPLATES
from engine.api.auth import Viewer
from engine.api.minutes import RegionName, Time, alerts_within, minute_range
from engine.api.problems import RESPONSES, not_found
from engine.api.services import Svc
from engine.api.templates import TemplateId

router = APIRouter(prefix="/api/v1/templates", tags=["templates"], responses=RESPONSES)

SEARCHED = 1_000
"""Alerts whose lines are searched, the newest of the range."""

_PARAMETER = re.compile(r"<\*>|<[A-Z][A-Z0-9_]*>")


class TemplateLine(BaseModel):
    """A line of the template."""

    text: Annotated[str, Field(description="As the alert has it: redacted and cut.")]
    alert: Annotated[str, Field(description="Id of the alert that has it.")]
    region: str
    session: str
    time: Annotated[str, Field(description="Event time of the last line of the alert.")]


class TemplateLines(BaseModel):
    """Lines of a template in the alerts of a range."""

    searched: Annotated[int, Field(description="Alerts of the range that were searched, the newest ones.")]
    alerts: Annotated[int, Field(description="Those of them with a line of the template in their window.")]
    items: Annotated[list[TemplateLine], Field(description="Lines with the words of the template, newest alert first.")]


@router.get("/{identity}/lines")
def lines(
    _: Viewer, services: Svc, identity: TemplateId, since: Time = None, until: Time = None, region: RegionName = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Lines.")] = 50,
) -> TemplateLines:  # fmt: skip
    """Lines of a template in the alerts of a range; the last 24 hours unless a range is given."""
    known = services.database.row(sa.select(TEMPLATES.c.text).where(TEMPLATES.c.id == identity))
    if known is None:
        raise not_found("template", identity)
    within = alerts_within(*minute_range(services, since, until), region)
    newest = sa.select(ALERTS.c.document).where(*within).order_by(ALERTS.c.last_time.desc(), ALERTS.c.id.desc())
    rows, pattern = services.database.rows(newest.limit(SEARCHED)), LinePattern(known["text"])
    documents = [orjson.loads(row["document"]) for row in rows if identity in row["document"]]
    having = [found for found in documents if any(t["id"] == identity for t in found.get("templates", ()))]
    items = [
        TemplateLine(
            text=line, alert=found["id"], region=found["region"], session=found.get("session") or "",
            time=found["last_time"],
        )
        for found in having
        for line in found.get("lines", ())
        if pattern.fits(line)
    ]  # fmt: skip
    return TemplateLines(searched=len(rows), alerts=len(having), items=items[:limit])


class LinePattern:
    """What the end of a line of a template looks like, behind the header that its format has.

    No regular expression: one with several parameters in a word tries every way to divide a hostile line.
    """

    def __init__(self, text: str) -> None:
        """Split a template.

        Args:
            text: Of the template.
        """
        self._words = [
            [part.replace(r"<\*>", "<*>") for part in _PARAMETER.split(word)] for word in text.split()
        ]  # fmt: skip

    def fits(self, line: str) -> bool:
        """Whether a line ends with words of the template."""
        found = line.split()[-len(self._words) :]
        if not self._words or len(found) != len(self._words):
            return False
        if not all(_fits(parts, word) for parts, word in zip(self._words[1:], found[1:], strict=True)):
            return False
        first, header = self._words[0], found[0]
        return any(_fits(first, header[start:]) for start in _starts(header, first[0]))


def _starts(word: str, begin: str) -> Iterator[int]:
    """Where a word of a line may begin as a template does: at its own beginning, and behind `:` and `]`."""
    yield 0
    if begin:  # a parameter would take the header as well
        yield from (i + 1 for i, character in enumerate(word) if character in ":]" and word.startswith(begin, i + 1))


def _fits(parts: Sequence[str], word: str) -> bool:
    """Whether a word has these parts in order, with at least one character between two of them and no other text."""
    if len(parts) == 1:
        return word == parts[0]
    begin, *middle, end = parts
    at, stop = len(begin), len(word) - len(end)
    if not word.startswith(begin) or not word.endswith(end):
        return False
    for part in middle:  # the first place is enough: it leaves the others most room
        found = word.find(part, at + 1, stop)
        if found < 0:
            return False
        at = found + len(part)
    return at < stop
