"""`driftline demo`."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option(help="Folder for model, alerts and report; a former demo's are replaced.")]
First = Annotated[
    float | None,
    typer.Option(min=0.05, max=0.95, help="Share of the stream to train on; 0.5, or 0.2 with --federated."),
]
Seconds = Annotated[float, typer.Option(min=1, help="How long streaming the rest shall take.")]
Seed = Annotated[int, typer.Option(help="Seed of the training, and of the simulator where it is needed.")]


Federated = Annotated[
    bool,
    typer.Option("--federated", help="Three regions: drift, a federated round, the swap; needs the extra federation."),
]


def demo(
    out: Out = Path("run/demo"),
    first: First = None,
    seconds: Seconds = 30.0,
    seed: Seed = 0,
    federated: Federated = False,
) -> None:
    """Show the whole thing on this machine: train, stream through Kafka, alert, and judge the alerts.

    Example: driftline demo --seconds 20
    """
    from engine.demo.run import run

    # Leaves through the context managers, which end the programs that were started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if federated:
        from engine.demo.federated import run as run_federated

        code = run_federated(out, 0.2 if first is None else first, seconds, seed)
    else:
        code = run(out, 0.5 if first is None else first, seconds, seed)
    raise typer.Exit(code)
