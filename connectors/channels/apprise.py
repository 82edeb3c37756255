"""E-mail and more than a hundred other services, by the library Apprise.

Every service is one URL, such as `mailto://user:password@example.com?to=ops@example.com`; see
https://github.com/caronc/apprise/wiki for the list.
"""

import json
import warnings
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, SecretStr

from connectors.base import SettingsError, SinkUnavailableError
from connectors.channels.alert_text import details_of, severity_of, title_of
from connectors.channels.base import Answer, ChannelSettings, Notice, Request
from connectors.channels.links import link_of
from connectors.http_delivery import Delivery, json_bytes
from foundation.documents.alert import SEVERITIES
from foundation.extras import require

_TYPE = dict(zip(SEVERITIES, ("info", "info", "warning", "failure", "failure"), strict=True))
"""Apprise's kinds of message, which decide on colours and icons."""


class AppriseSettings(ChannelSettings):
    """Alerts by e-mail or any other service that Apprise supports."""

    type: Literal["apprise"] = "apprise"
    url: SecretStr = Field(description="Apprise URL of the service.")


class AppriseChannel:
    """See the module; also a `Channel`. A request's body holds title, text and kind; its URL is a name only."""

    repeats = False

    def __init__(self, settings: AppriseSettings) -> None:
        self._settings = settings

    def requests(self, notices: Sequence[Notice]) -> Sequence[Request]:
        """One message a notice."""
        return [Request("apprise", json_bytes(self._message(n)), (n.group,)) for n in notices]

    def answer(self, status: int, body: bytes) -> Answer:
        """Apprise returns only success or failure, which `AppriseSender` has checked."""
        return Answer()

    def _message(self, notice: Notice) -> dict[str, str]:
        alert = notice.alert
        severity = SEVERITIES[severity_of(alert)]
        if notice.status == "resolved":
            body = f"{notice.count} alerts in all"
            return {"title": f"Over: {title_of(alert)}", "body": body, "notify_type": "success"}
        if notice.digest:
            title, body = f"{len(notice.digest)} groups of alerts in a minute", "\n".join(notice.digest)
        else:
            title, body = f"[{severity}] {title_of(alert)}", details_of(alert)
        if link := link_of(self._settings.link, alert):
            body = f"{body}\n{link}"
        return {"title": title, "body": body, "notify_type": _TYPE[severity]}


class AppriseSender:
    """Sends requests of `AppriseChannel`."""

    def __init__(self, settings: AppriseSettings) -> None:
        """Raise SettingsError if Apprise does not support the URL's service."""
        require("notify", "the sink apprise", "apprise")
        url = settings.url.get_secret_value()
        scheme = url.partition("://")[0]
        with warnings.catch_warnings():
            # Apprise imports all of its plugins, and some of them import modules that Python is about to drop.
            warnings.simplefilter("ignore", DeprecationWarning)
            import apprise

            # Without it Apprise 2.3.0 takes text for HTML in mails, and placeholders such as <IP> disappear as tags.
            self._options = {"body_format": apprise.NotifyFormat.TEXT, "interpret_escapes": False}
            self._service: Any = apprise.Apprise()
            known = self._service.add(url)
        if not known:
            raise SettingsError(f"apprise does not take the URL that begins with {scheme!r}; see its list of services")
        self._scheme = scheme

    def __call__(self, request: Request) -> Delivery:
        """Send one message; Apprise logs the reason of a failure itself, and gives none here."""
        if not self._service.notify(**json.loads(request.body), **self._options):
            raise SinkUnavailableError(f"apprise could not deliver to {self._scheme}://; its log has the reason")
        return Delivery(200, b"")
