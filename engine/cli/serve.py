"""`driftline serve` and `driftline mcp`."""

from pathlib import Path
from typing import Annotated

import typer

ServeFile = Annotated[
    Path | None, typer.Argument(help="TOML file of the service; defaults without one.", show_default=False)
]


def serve(settings: ServeFile = None) -> None:
    """Serve the REST API and the console until SIGTERM or SIGINT.

    Example: driftline serve serve.toml
    """
    from foundation.extras import require

    require("serve", "driftline serve")
    from engine.api.server import serve as run
    from engine.api.settings import load_serve
    from engine.telemetry.logs import LogSettings, setup_logging

    loaded = load_serve(settings)
    if loaded.oidc is not None:
        require("oidc", "the login with an OpenID provider")
    setup_logging(LogSettings(), secrets=loaded.secrets())
    run(loaded)


def mcp(settings: ServeFile = None) -> None:
    """Answer an assistant over the Model Context Protocol on standard input and output; read-only.

    Example: driftline mcp serve.toml
    """
    from foundation.extras import require

    require("mcp", "driftline mcp")
    from engine.api.mcp_server import run_mcp
    from engine.api.settings import load_serve
    from engine.telemetry.logs import LogSettings, setup_logging

    loaded = load_serve(settings)
    setup_logging(LogSettings(level="WARNING"), secrets=loaded.secrets())
    run_mcp(loaded)
