"""Pages of a list: a time range, a limit, and an opaque cursor that stays valid while rows are added."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import orjson
import sqlalchemy as sa
from fastapi import Depends, Query
from pydantic import BaseModel, Field

from engine.api.problems import ProblemError
from foundation.time_text import iso_time, parse_time

Item = TypeVar("Item")

MAX_LIMIT = 500


class Page(BaseModel, Generic[Item]):
    """A part of a list, newest first."""

    items: list[Item]
    next_cursor: Annotated[
        str | None, Field(description="The parameter `cursor` of the next page; null on the last one.")
    ]


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a list is wanted.

    Attributes:
        since, until: Times as the store has them; "" without a bound. `until` itself is not included.
        limit: Items on a page.
        after: Time and id of the last item of the page before; empty at the start.
    """

    since: str
    until: str
    limit: int
    after: tuple[str, str] | tuple[()]

    def within(self, time: sa.ColumnElement[str]) -> list[sa.ColumnElement[bool]]:
        """Conditions of the time range alone."""
        conditions = [time >= self.since] if self.since else []
        return [*conditions, time < self.until] if self.until else conditions

    def behind(self, time: sa.ColumnElement[Any], identity: sa.ColumnElement[Any]) -> list[sa.ColumnElement[bool]]:
        """The condition of the cursor, for rows in descending order of time and id."""
        if not self.after:
            return []
        last, name = self.after
        return [sa.or_(time < last, sa.and_(time == last, identity < name))]

    def page(
        self, rows: Sequence[Mapping[str, Any]], time: str, identity: str, item: Callable[[Mapping[str, Any]], Item]
    ) -> Page[Item]:
        """The page of rows that were selected with one row more than the limit.

        Args:
            rows: At most `limit + 1`.
            time: Name of the first column that orders them.
            identity: Name of the second.
            item: Makes an item of a row.
        """
        shown = rows[: self.limit]
        cursor = _encoded(shown[-1][time], shown[-1][identity]) if len(rows) > self.limit else None
        return Page(items=[item(row) for row in shown], next_cursor=cursor)


def page_request(
    since: Annotated[str | None, Query(max_length=40, description="Earliest time, RFC 3339, included.")] = None,
    until: Annotated[str | None, Query(max_length=40, description="Latest time, RFC 3339, not included.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Items on a page.")] = 50,
    cursor: Annotated[str | None, Query(max_length=400, description="`next_cursor` of the page before.")] = None,
) -> PageRequest:
    """Return the parameters of a list, checked.

    Raises:
        ProblemError: a time or the cursor is not valid.
    """
    return PageRequest(time_of("since", since), time_of("until", until), limit, _decoded(cursor) if cursor else ())


Paging = Annotated[PageRequest, Depends(page_request)]


def time_of(name: str, text: str | None) -> str:
    """Return a time as the store has it; "" for None.

    Raises:
        ProblemError: it is not an RFC 3339 time.
    """
    if text is None:
        return ""
    try:
        # In a query a plus sign is a space unless it is escaped.
        return iso_time(parse_time(text.replace(" ", "+")))
    except ValueError as error:
        raise ProblemError(422, f"{name} {error}") from error


def _encoded(time: Any, identity: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([str(time), str(identity)])).decode().rstrip("=")


def _decoded(cursor: str) -> tuple[str, str]:
    try:
        found = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError) as error:
        raise ProblemError(422, "cursor is not a `next_cursor` of this list") from error
    match found:
        case [str(time), str(identity)]:
            return time, identity
    raise ProblemError(422, "cursor is not a `next_cursor` of this list")
