"""HTTP status codes of access logs.

Digits are parameters everywhere else: no template distinguishes 200 from 503. Of a status that would hide what
matters, so it is named before templates are mined, and a shape of line has one text for every name.
"""

import re

import numpy as np

GROUP = "status"
"""Header group that holds the code; the message of such a format begins with the quoted request before it."""

NAMES = ("", "SUCCESS", "REDIRECTED", "DENIED", "MISSING", "LIMITED", "REFUSED", "UNAVAILABLE", "ERROR")
"""What codes are called, by kind; codes of kind 0 stay numbers. Those below 300 are as good as one another."""

_KIND_OF = {401: 3, 403: 3, 407: 3, 404: 4, 410: 4, 429: 5, 502: 7, 503: 7, 504: 7}
KINDS = np.zeros(1000, np.int64)
"""int64 (1000,): code → kind."""
for _low, _kind in ((100, 1), (200, 1), (300, 2), (400, 6), (500, 8)):
    KINDS[_low : _low + 100] = _kind
for _code, _kind in _KIND_OF.items():
    KINDS[_code] = _kind

_REQUEST = re.compile(r'("[^"\\]*(?:\\["\\]?+[^"\\]*)*" )([0-9]{3})(?![0-9])')


def status_place(message: str) -> tuple[str, int, int] | None:
    """Name, start and end of the status code in a message; None where it has none, or one without a name."""
    found = _REQUEST.match(message)
    name = NAMES[KINDS[int(found[2])]] if found else ""
    return (name, *found.span(2)) if found and name else None


def name_status(message: str) -> str:
    """The message with the name of its status instead of the code: `"GET / HTTP/1.1" <SUCCESS> 612`."""
    place = status_place(message)
    return message if place is None else f"{message[: place[1]]}<{place[0]}>{message[place[2] :]}"
