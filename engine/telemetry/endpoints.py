"""`/healthz`, `/readyz` and `/metrics` over HTTP, on the loopback interface by default.

`/healthz` answers 200 while the worker moves, else 503: restart it. `/readyz` answers 200 while lines
become alerts, else 503 with the failing conditions. Both pages are JSON.
"""

import errno
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import ClassVar

import orjson

from engine.telemetry.health import Health
from engine.telemetry.metrics import Metrics
from foundation.errors import DriftlineError

ROUTES = ("/healthz", "/readyz", "/metrics")


class EndpointError(DriftlineError):
    """The endpoints cannot be served at the configured address."""


class Endpoints:
    """Serves the three pages from threads of its own, from construction until `close`."""

    def __init__(self, health: Health, metrics: Metrics, host: str, port: int) -> None:
        """Port 0 takes any free one, see `port`.

        Raises:
            EndpointError: the address is in use or not this machine's.
        """
        handler = type("Handler", (_Handler,), {"health": health, "metrics": metrics})
        try:
            self._server = _Server((host, port), handler)
        except (OSError, OverflowError) as error:
            raise EndpointError(_sentence(error, host, port)) from error
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

    def server_bind(self) -> None:
        # HTTPServer would ask the name service for this host's name here, which can take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    health: ClassVar[Health]
    metrics: ClassVar[Metrics]
    server_version = "driftline"
    sys_version = ""
    # Seconds that a client may take to send its request.
    timeout = 5

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
        if path == "/metrics":
            return 200, *self.metrics.expose(self.headers.get("Accept", ""))
        if path in ("/healthz", "/readyz"):
            ok, page = self.health.alive() if path == "/healthz" else self.health.ready()
            return (200 if ok else 503), "application/json", orjson.dumps(page) + b"\n"
        return 404, "application/json", orjson.dumps({"error": f"no {path}; there are {', '.join(ROUTES)}"}) + b"\n"

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged: probes come every few seconds."""


def _sentence(error: OSError | OverflowError, host: str, port: int) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; set telemetry.port to a free one, or to 0 for any"
    allowed = "telemetry.host must be an address of this machine, the port at most 65535"
    return f"cannot serve on {host}:{port} ({error}); {allowed}"
