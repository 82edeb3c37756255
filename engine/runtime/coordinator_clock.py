"""The difference between this machine's clock and the coordinator's, from the `Date` header of any of its answers."""

import email.utils
import http.client
import ssl
import time
from pathlib import Path

TIMEOUT_S = 3.0

MAX_SKEW_S = 43_200.0
"""Rounds correct the difference between the clocks, but certificates are valid from a day before they were made."""


def clock_ahead_s(host: str, port: int, authority: Path | None) -> float | None:
    """Seconds by which this clock is ahead, to the second; None if the answer names no time.

    Args:
        host: Host of the coordinator or its proxy.
        port: Its port.
        authority: Certificate of the authority that signed the server's; None: no TLS.

    Raises:
        OSError: it does not answer, or its certificate is not valid here.
    """
    connection: http.client.HTTPConnection
    if authority is None:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    else:
        context = ssl.create_default_context(cafile=str(authority))
        connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
    try:
        connection.request("HEAD", "/")
        stated = connection.getresponse().getheader("Date")
    except (http.client.HTTPException, TimeoutError, ConnectionResetError):  # it answers, but not this question
        return None
    finally:
        connection.close()
    if stated is None:
        return None
    try:
        return time.time() - email.utils.parsedate_to_datetime(stated).timestamp()
    except ValueError:
        return None
