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


def demo(
    out: Out = Path("run/demo"),
    first: First = None,
    seconds: Seconds = 30.0,
    seed: Seed = 0,
    federated: Federated = False,
) -> None:
    """Demonstrate the engine on this machine: train, stream through Kafka, alert, and compare alerts with labels.

    Example: driftline demo --seconds 20
    """
    from engine.demo.run import run

    # Exits through the context managers, which end the programs that were started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if federated:
        from engine.demo.federated import run as run_federated

        code = run_federated(out, 0.2 if first is None else first, seconds, seed)
    else:
        code = run(out, 0.5 if first is None else first, seconds, seed)
    raise typer.Exit(code)
