"""What the fields of a document hold, by their names, where no list of names of a format has them."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

LEVEL, TIME, STATUS = "level", "time", "status"

_LETTERS = re.compile("[^a-z]")
_LEVELS = frozenset((
    "level", "loglevel", "lvl", "severity", "severitytext", "severitylevel", "levelname", "logseverity", "label",
    "priority", "prio", "levelstr", "eventlevel", "sev", "errorlevel", "syslogseverity",
))  # fmt: skip
_TIMES = ("time", "timestamp", "datetime", "date", "published", "reqtimesec")
_TIME_WORDS = re.compile("(?i:(?:^|[^a-z])(?:at|ts)$)|[a-z](?:At|Ts|TS)$")
"""Short names only as words of their own: `format`, `requests` and `results` end with the same letters."""

_OTHER_TIMES = re.compile(
    "expir|valid|until|due|birth|before|after|next|schedul|modif|^update$|candidate$|mandate$|(?:run|up|down|life)time$"
)
_STATUSES = ("status", "statuscode", "httpstatus", "responsecode", "httpcode", "httpresponse")
_LATE = re.compile("end|stop|finish|updat|modif|complet|receiv|ingest")


@lru_cache(maxsize=16_384)
def kind_of(name: str) -> str:
    """`LEVEL` (such as `severityText`), `TIME` (`EdgeStartTimestamp`), `STATUS` (`httpStatus`), or "" for others."""
    plain = _LETTERS.sub("", name.lower())
    if plain in _LEVELS:
        return LEVEL
    if plain.endswith(_STATUSES) and "exit" not in plain:
        return STATUS
    named = plain.endswith(_TIMES) or _TIME_WORDS.search(name)
    return TIME if named and not _OTHER_TIMES.search(plain) else ""


def fields_of(document: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Any]]:
    """Names and values of the fields of a kind, those of the document before those of the objects in it."""
    inner = []
    for name, value in document.items():
        if isinstance(value, dict):
            inner.append(value)
        elif kind_of(name) == kind:
            yield name, value
    for part in inner:
        for name, value in part.items():
            if kind_of(name) == kind and not isinstance(value, dict):
                yield name, value


def times_of(document: Mapping[str, Any]) -> list[Any]:
    """Values that may be the time of the event; those that an end or a later step sets come last."""
    found = sorted(fields_of(document, TIME), key=lambda field: bool(_LATE.search(field[0].lower())))
    return [value for _, value in found]
