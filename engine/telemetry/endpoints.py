"""`/healthz`, `/readyz` and `/metrics` over HTTP, on the loopback interface by default.

`/healthz` answers 200 while the worker moves, else 503: restart it. `/readyz` answers 200 while lines
become alerts, else 503 with the failing conditions. Both pages are JSON.

With a token, requests without it get the status of the first two pages and nothing else. On a loopback
address, requests that name another host are refused: a page in a browser could be made to send them. With a
certificate, only HTTPS is answered.
"""

import contextlib
import errno
import hmac
import ipaddress
import socket
import ssl
import threading
from collections.abc import Collection
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any, ClassVar

import orjson

from engine.telemetry.health import Health
from engine.telemetry.metrics import Metrics
from foundation.errors import DriftlineError

ROUTES = ("/healthz", "/readyz", "/metrics")

REQUEST_S = 10.0
"""How long one request may take, from its first byte to the last one of its answer."""


class EndpointError(DriftlineError):
    """The endpoints cannot be served at the configured address."""


@dataclass(frozen=True, slots=True)
class EndpointAccess:
    """Who may read the pages, and how.

    Attributes:
        token: Bearer token that requests must carry; "" for none.
        hosts: Names that a `Host` header may have, apart from loopback names on a loopback address. Empty: any on other
            addresses.
        certificate: Chain in PEM, with which HTTPS is served; None serves HTTP.
        key: Its private key in PEM.
        request_s: How long one request may take, handshake included.
    """

    token: str = ""
    hosts: Collection[str] = ()
    certificate: Path | None = None
    key: Path | None = None
    request_s: float = REQUEST_S

    def tls(self) -> ssl.SSLContext | None:
        """What connections are encrypted with; None without a certificate.

        Raises:
            EndpointError: certificate and key cannot be read, or do not belong together.
        """
        if self.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.certificate, self.key, _no_passphrase)
        except (OSError, ValueError) as error:  # also errors of OpenSSL
            raise EndpointError(
                f"telemetry.certificate {self.certificate} and telemetry.key {self.key} cannot be used: {error}"
            ) from error
        return context


def _no_passphrase() -> str:
    """Instead of OpenSSL's question on the terminal, for which an engine would wait without end."""
    raise ValueError("the key has a passphrase, and must be stored without one")


class Endpoints:
    """Serves the three pages from threads of its own, from construction until `close`."""

    def __init__(
        self, health: Health, metrics: Metrics, host: str, port: int, access: EndpointAccess = EndpointAccess()
    ) -> None:
        """Serve at once.

        Args:
            health: Conditions to serve.
            metrics: Metrics to serve.
            host: Address of this machine.
            port: Port; 0 takes any free one, see the attribute `port`.
            access: Who may read.

        Raises:
            EndpointError: the address is in use or not this machine's, or the certificate cannot be used.
        """
        settings = {"health": health, "metrics": metrics, "access": access}
        handler = type("Handler", (_Handler,), {**settings, "local": _is_loopback(host)})
        tls = access.tls()
        try:
            self._server = _Server((host, port), handler)
        except (OSError, OverflowError) as error:
            raise EndpointError(_sentence(error, host, port)) from error
        self._server.tls = tls
        self.host = host
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="endpoints", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops serving; a second call does nothing."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self.tls is not None:
            # The handshake waits for the thread of the connection, and has its time.
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def server_bind(self) -> None:
        # HTTPServer would ask the name service for this host's name here, which can take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    health: ClassVar[Health]
    metrics: ClassVar[Metrics]
    access: ClassVar[EndpointAccess]
    local: ClassVar[bool]
    server_version = "driftline"
    sys_version = ""
    # Seconds between two pieces of a request; `request_s` bounds all of them together.
    timeout = 5

    def handle(self) -> None:
        """Cut the connection when its time is over; the thread then gets an error, and ends."""
        timer = threading.Timer(self.access.request_s, _cut, (self.connection,))
        timer.daemon = True
        timer.start()
        try:
            if isinstance(self.connection, ssl.SSLSocket):
                self.connection.do_handshake()
            super().handle()
        except OSError:  # cut here, or by the client, or not TLS
            self.close_connection = True
        finally:
            timer.cancel()

    def finish(self) -> None:
        """Write out the rest, unless the connection is gone."""
        with contextlib.suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        status, content_type, body = self._page(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def _page(self, path: str) -> tuple[int, str, bytes]:
        host = self.headers.get("Host", "")
        if host and not self._serves(_without_port(host)):
            return 421, *_json({"error": f"this address does not serve the host {host!r}"})
        trusted = not self.access.token or self._has_token()
        if path in ("/healthz", "/readyz"):
            ok, page = self.health.alive() if path == "/healthz" else self.health.ready()
            return (200 if ok else 503), *_json(page if trusted else {"status": page["status"]})
        if not trusted:
            return 401, *_json({"error": "a bearer token is needed: telemetry.token"})
        if path == "/metrics":
            return 200, *self.metrics.expose(self.headers.get("Accept", ""))
        return 404, *_json({"error": f"no {path}; there are {', '.join(ROUTES)}"})

    def _serves(self, host: str) -> bool:
        if host.lower() in self.access.hosts:
            return True
        return _is_loopback(host) if self.local else not self.access.hosts

    def _has_token(self) -> bool:
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.access.token.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged: probes come every few seconds."""


def _json(page: Any) -> tuple[str, bytes]:
    return "application/json", orjson.dumps(page) + b"\n"


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Of the socket below TLS: another thread reads from it, which must get an error that it knows.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _without_port(host: str) -> str:
    """The name or address in a `Host` header."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _sentence(error: OSError | OverflowError, host: str, port: int) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; set telemetry.port to a free one, or to 0 for any"
    allowed = "telemetry.host must be an address of this machine, the port at most 65535"
    return f"cannot serve on {host}:{port} ({error}); {allowed}"
