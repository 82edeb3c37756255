"""`driftline demo`."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option(help="Folder for model, alerts and report; those of an earlier demo are replaced.")]
First = Annotated[
    float | None,
    typer.Option(min=0.05, max=0.95, help="Share of the stream to train on; 0.5, or 0.2 with --federated."),
]
Seconds = Annotated[float, typer.Option(min=1, help="Duration of the stream, in seconds.")]
Seed = Annotated[int, typer.Option(help="Seed of the training and of the simulator.")]


Federated = Annotated[
    bool,
    typer.Option("--federated", help="Show three regions instead: drift, a federated round, the new version."),
]


Serve = Annotated[bool, typer.Option(help="End with the console over the demo's data, until Ctrl-C.")]


def demo(
    out: Out = Path("run/demo"),
    first: First = None,
    seconds: Seconds = 30.0,
    seed: Seed = 0,
    federated: Federated = False,
    serve: Serve = True,
) -> None:
    """Demonstrate the engine on this machine: train, stream through Kafka, compare alerts with labels, serve them.

    Example: driftline demo --seconds 20
    """
    from rich.console import Console

    from engine.demo.run import run
    from engine.demo.stage import serve as serve_console

    # Exits through the context managers, which end the programs that were started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if federated:
        from engine.demo.federated import run as run_federated

        code = run_federated(out, 0.2 if first is None else first, seconds, seed)
    else:
        code = run(out, 0.5 if first is None else first, seconds, seed)
    if serve and not code:
        code = serve_console(Console(), out.resolve() / "serve.toml")
    raise typer.Exit(code)
