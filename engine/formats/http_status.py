"""HTTP status codes in access logs and in documents.

Templates replace numbers, so they do not distinguish 200 from 503. For a status that would hide what
matters: its name replaces it before templates are mined, and a shape of line has one text for every name.
"""

import re

import numpy as np

GROUP = "status"
"""Header group that holds the code, which is in the message at the place that `status_place` finds."""

FIELD = "status="
"""Text before the code in the message of a document, see `engine.formats.document_message`."""

NAMES = ("", "SUCCESS", "REDIRECTED", "DENIED", "MISSING", "LIMITED", "REFUSED", "UNAVAILABLE", "ERROR")
"""Names of codes, by kind; codes of kind 0 stay numbers. All codes below 300 share one name."""

_KIND_OF = {401: 3, 403: 3, 407: 3, 404: 4, 410: 4, 429: 5, 502: 7, 503: 7, 504: 7}
KINDS = np.zeros(1000, np.int64)
"""int64 (1000,): code → kind."""
for _low, _kind in ((100, 1), (200, 1), (300, 2), (400, 6), (500, 8)):
    KINDS[_low : _low + 100] = _kind
for _code, _kind in _KIND_OF.items():
    KINDS[_code] = _kind

METHODS = "GET|POST|PUT|HEAD|DELETE|PATCH|OPTIONS|CONNECT|PROPFIND|REPORT|MKCOL"

_PLACES = re.compile(
    r'"[^"\\]*(?:\\["\\]?+[^"\\]*)*" ([0-9]{3})(?![0-9])'  # the quoted request, then the code
    r"|[A-Z_]+/([0-9]{3}) "  # Squid's result code
    r"|([0-9]{3}) (?:[0-9]+|-) [0-9]+ [0-9]+ \""  # AWS load balancers
    r"|[^ ]+ [^ ]+ \+?-?[0-9]+(?:/\+?-?[0-9]+){4} ([0-9]{3}) "  # HAProxy: timers, then the code
    r"|[A-Z]+ (?:[^ ]+ ){7}([0-9]{3}) [0-9]+ [0-9]+ [0-9]+"  # IIS
    r"|[A-Z]+\t[^\t]+\t[^\t]+\t([0-9]{3})\t"  # CloudFront
    r"|(?:\[[^\]]*\] )*Completed ([0-9]{3}) "  # Rails
    # Anything, and the request before the code, or `status=`; or bars around it.
    rf"|.*?(?:\"(?:{METHODS}|WebSocket) [^\"]*\" |(?:{METHODS}) [^ \"]+ (?:HTTP/[0-9.]+ |=> |for [^ ]+, )?"
    rf"|\|(?:{METHODS})\|[^|]*\|"
    r"|(?<![0-9A-Za-z-])[Ss]tatus\"?[=:] ?\"?)([0-9]{3})(?=[ \t,;|}\"]|$)"
    rf"|([0-9]{{3}}) (?:{METHODS}) /"
    r"|\| *([0-9]{3}) *\|"
)
"""Places of codes, from the beginning of a message; the one group that takes part is the code."""

_FIELD = re.compile(rf"(?:^| ){FIELD}([0-9]{{3}})(?![^ ])")


def status_place(message: str) -> tuple[str, int, int] | None:
    """Name, start and end of the status code in a message; None if it has none, or one without a name."""
    found = _PLACES.match(message)
    # Few messages have one: looking for the text first saves most of the time on the others.
    if found is None and FIELD in message:
        found = _FIELD.search(message)
    if found is None or found.lastindex is None:
        return None
    name = NAMES[KINDS[int(found[found.lastindex])]]
    return (name, *found.span(found.lastindex)) if name else None


def name_status(message: str) -> str:
    """The message with the name of its status instead of the code: `"GET / HTTP/1.1" <SUCCESS> 612`."""
    place = status_place(message)
    return message if place is None else f"{message[: place[1]]}<{place[0]}>{message[place[2] :]}"
