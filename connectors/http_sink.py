"""Documents to any HTTP service, one request each, in order, at least once.

The body is the document as JSON, or what a template makes of it. The header `Idempotency-Key` is the
document's id, so that a receiver can drop what comes again after a crash.
"""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator

from connectors.base import ConnectorError, Record, SettingsError, State
from connectors.http_delivery import HttpDelivery, json_bytes, plain
from connectors.sink_settings import BaseSinkSettings
from foundation.extras import require

log = logging.getLogger(__name__)


class HttpSettings(BaseSinkSettings):
    """Documents to an HTTP service."""

    type: Literal["http"] = "http"
    url: str = Field(description="Address of the service, `http://` or `https://`.")
    method: Literal["POST", "PUT", "PATCH"] = Field("POST", description="HTTP method.")
    headers: Mapping[str, SecretStr] = Field({}, description="HTTP headers, such as Authorization.")
    template: str = Field(
        "",
        description="Jinja template of the body, with the document as `alert`; `{{ alert.id | tojson }}`. "
        "Empty: the document as JSON.",
    )
    content_type: str = Field("application/json", description="Content-Type of the body.")
    ca: str = Field("", description="Path of CA certificates to check the server against; empty: the system's.")
    timeout_s: float = Field(10.0, gt=0, description="How long the service may take to answer, in seconds.")

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} does not begin with http:// or https://")
        return url


class TemplateFieldError(ConnectorError):
    """The template asks for what a document does not have."""


class HttpSink:
    """See the module; also a `Sink`."""

    snapshot_holds_pending = False

    def __init__(self, settings: HttpSettings) -> None:
        require("notify", "the sink http", "urllib3")
        self._settings = settings
        self._http = HttpDelivery(settings.timeout_s, settings.ca)
        self._body = _body_of(settings)
        self._kept: deque[Record] = deque()

    def open(self, resume: State | None) -> None:
        """See `Sink.open`."""
        self._http.reach(self._settings.url)

    def write(self, records: Sequence[Record]) -> None:
        """See `Sink.write`."""
        self._kept.extend(records)

    def pending(self) -> int:
        """See `Sink.pending`."""
        return len(self._kept)

    def flush(self, timeout_s: float) -> None:
        """See `Sink.flush`; a document that the service rejects permanently is logged and left out."""
        settings = self._settings
        while self._kept:
            record = self._kept[0]
            headers = {**record.headers, **plain(settings.headers), "Content-Type": settings.content_type,
                       "Idempotency-Key": record.id}  # fmt: skip
            try:
                body = self._body({"id": record.id, **record.document})
                problem = self._http.send(settings.method, settings.url, body, headers).refused
            except TemplateFieldError as error:
                problem = str(error)
            if problem:
                log.error("%s; document %s is left out here and stays in the other sinks", problem, record.id)
            self._kept.popleft()

    def snapshot(self) -> State:
        """Nothing: an HTTP service cannot be asked what arrived."""
        return {}

    def close(self) -> None:
        """See `Sink.close`."""
        self._kept.clear()
        self._http.close()


def _body_of(settings: HttpSettings) -> Any:
    """What makes the body of a document.

    Raises:
        SettingsError: The template is not a template.
    """
    if not settings.template:
        return json_bytes
    require("notify", "a template of the sink http", "jinja2")
    import jinja2
    import jinja2.sandbox

    environment = jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined)
    try:
        template = environment.from_string(settings.template)
    except jinja2.TemplateError as error:
        raise SettingsError(f"sinks.template is not a template: {error}") from error

    def body(document: Mapping[str, Any]) -> bytes:
        try:
            return template.render(alert=document).encode("utf-8", "replace")
        except jinja2.TemplateError as error:
            raise TemplateFieldError(f"sinks.template does not fit: {error}") from error

    return body
