"""`driftline serve`."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    settings: Annotated[
        Path | None, typer.Argument(help="TOML file of the service; defaults without one.", show_default=False)
    ] = None,
) -> None:
    """Serve the REST API and the console until SIGTERM or SIGINT.

    Example: driftline serve serve.toml
    """
    from foundation.extras import require

    require("serve", "driftline serve")
    from engine.api.server import serve as run
    from engine.api.settings import load_serve
    from engine.telemetry.logs import LogSettings, setup_logging

    loaded = load_serve(settings)
    setup_logging(LogSettings(), secrets=loaded.secrets())
    run(loaded)
