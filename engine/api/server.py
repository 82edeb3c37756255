"""Runs the service: `driftline serve`."""

import logging
import signal
import socket
import threading

import uvicorn

from engine.api.app import CONSOLE, build_app
from engine.api.services import Services
from engine.api.settings import ListenSettings, ServeSettings
from engine.parsing.compile_loops import compile_loops
from foundation.errors import DriftlineError

log = logging.getLogger(__name__)

GRACE_S = 5
"""Seconds that open requests have when the service is asked to stop; streams would never end."""

ALL_ADDRESSES = ("0.0.0.0", "::")


class ServeError(DriftlineError):
    """The service cannot listen; the message names the address."""


def serve(settings: ServeSettings) -> None:
    """Answer until SIGTERM or SIGINT.

    Raises:
        DriftlineError: a store cannot be opened, or the address cannot be used.
    """
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    services = Services.from_settings(settings)
    try:
        with _bound(settings.listen) as bound:
            url = address(settings.listen, bound.getsockname()[1])
            print(f"Driftline answers at {url}", flush=True)
            if not (CONSOLE / "index.html").is_file():
                log.warning("the console is not built, so only the API is served; see docs/api.md")
            if not services.accounts.has_admin():
                print(f"Create the first administrator: {url}/#/setup/{services.setup_token}", flush=True)
            # After its orderly end uvicorn raises the signal again; a service that was asked to stop has not failed.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: None)
            # On a new machine it takes half a minute, for which the first request about lines should not wait.
            threading.Thread(target=compile_loops, name="compile", daemon=True).start()
            listen = settings.listen
            uvicorn.Server(uvicorn.Config(
                build_app(services), log_config=None, access_log=False, server_header=False,
                timeout_graceful_shutdown=GRACE_S, proxy_headers=False,
                ssl_certfile=listen.certificate, ssl_keyfile=listen.key,
            )).run(sockets=[bound])  # fmt: skip
    finally:
        services.database.close()


def address(listen: ListenSettings, port: int) -> str:
    """Return a URL under which the service accepts requests."""
    host = listen.host
    if host in ALL_ADDRESSES:  # nobody can open these, and the check of the Host header refuses them
        host = next(iter(listen.hosts), None) or socket.gethostname()
    host = f"[{host}]" if ":" in host else host
    return f"{'http' if listen.certificate is None else 'https'}://{host}:{port}"


def _bound(listen: ListenSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    found = socket.socket(family)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((listen.host, listen.port))
        found.listen(1_024)
    except OSError as error:
        found.close()
        raise ServeError(f"cannot listen on {listen.host} port {listen.port}: {error.strerror}") from error
    return found
