"""One HTTP request, delivered or refused with a sentence. Shared by the sink `http` and all channels.

Answers fall into three kinds. Below 400 the request is delivered. 400, 409, 413, 415 and 422 speak about this
one document, which would be refused indefinitely. Everything else (401, 404, 429, 5xx, no answer) is about the
service or its settings: the request is tried again.
"""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from connectors.base import SinkUnavailableError
from foundation.extras import require

REFUSALS = frozenset({400, 409, 413, 415, 422})

MAX_ANSWER_BYTES = 64 * 1024


class ServiceBusyError(SinkUnavailableError):
    """The service answered that it will not now.

    Attributes:
        retry_after_s: How long it asked to be left alone, 0 where it did not say.
    """

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of a request.

    Attributes:
        status: HTTP status.
        body: The start of the answer.
        refused: Why this document will never be accepted; empty where it was.
    """

    status: int
    body: bytes
    refused: str = ""


@dataclass(slots=True)
class HttpDelivery:
    """Sends requests over kept connections; one thread uses it at a time.

    Attributes:
        timeout_s: How long connecting, and every read of the answer, may take.
        ca: Path of CA certificates to check the server against; empty: the system's.
    """

    timeout_s: float
    ca: str = ""
    _pool: object = field(default=None, repr=False)

    def send(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Delivery:
        """Send one request.

        Raises:
            SinkUnavailableError: The service did not answer, or answered that it will not now; try again.
        """
        require("notify", "sending alerts over HTTP", "urllib3")
        import urllib3

        if self._pool is None:
            options: dict[str, Any] = {"ca_certs": self.ca} if self.ca else {}
            self._pool = urllib3.PoolManager(num_pools=4, retries=False, **options)
        try:
            answer = self._pool.request(  # type: ignore[attr-defined]
                method, url, body=body, headers=dict(headers), redirect=False, preload_content=False,
                timeout=urllib3.Timeout(connect=self.timeout_s, read=self.timeout_s),
            )  # fmt: skip
            text = answer.read(MAX_ANSWER_BYTES)
            answer.drain_conn()
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise SinkUnavailableError(f"{place_of(url)} does not answer: {_reason(error)}") from error
        if answer.status < 300:
            return Delivery(answer.status, text)
        problem = f"{place_of(url)} answered {answer.status}: {_sentence(text)}"
        if answer.status in REFUSALS:
            return Delivery(answer.status, text, problem)
        if answer.status < 400:
            problem += "; a redirect is not followed, set the final address"
        raise ServiceBusyError(problem, _seconds(answer.headers.get("Retry-After", "")))

    def reach(self, url: str) -> None:
        """Connect once, without a request: nothing is sent to people for a check.

        Raises:
            SinkUnavailableError: Nothing listens at the address.
        """
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname or "", port), timeout=self.timeout_s).close()
        except OSError as error:
            raise SinkUnavailableError(f"{place_of(url)} does not answer: {error.strerror or error}") from error

    def close(self) -> None:
        """Close kept connections."""
        if self._pool is not None:
            self._pool.clear()  # type: ignore[attr-defined]
            self._pool = None


def place_of(url: str) -> str:
    """Scheme and host of an address; its path and query may hold a secret (Slack, Teams, many webhooks)."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.split('/')[0].split('?')[0].rpartition('@')[2]}"


def plain(headers: Mapping[str, SecretStr]) -> dict[str, str]:
    """Headers with their secrets."""
    return {name: value.get_secret_value() for name, value in headers.items()}


def json_bytes(document: object) -> bytes:
    """Compact JSON in UTF-8; lone surrogates, which JSON cannot carry, are replaced."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _reason(error: Exception) -> str:
    # urllib3 names the pool object in front of the reason; people want the reason.
    return str(error).rsplit(">: ", 1)[-1].rsplit("): ", 1)[-1].strip("()") or type(error).__name__


def _seconds(text: str) -> float:
    """`Retry-After` in seconds; its form as a date is rare, and the usual back-off serves it."""
    return float(text) if text.isdecimal() else 0.0


def _sentence(body: bytes) -> str:
    text = " ".join(body[:300].decode("utf-8", "replace").split())
    return text or "no reason given"
