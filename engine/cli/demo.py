"""`driftline demo`."""

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option(help="Folder for model, alerts and report; a former demo's are replaced.")]
First = Annotated[float, typer.Option(min=0.05, max=0.95, help="Share of the stream that the model is trained on.")]
Seconds = Annotated[float, typer.Option(min=1, help="How long streaming the rest shall take.")]
Seed = Annotated[int, typer.Option(help="Seed of the training, and of the simulator where it is needed.")]


def demo(out: Out = Path("run/demo"), first: First = 0.5, seconds: Seconds = 30.0, seed: Seed = 0) -> None:
    """Show the whole thing on this machine: train, stream through Kafka, alert, and judge the alerts.

    Example: driftline demo --seconds 20
    """
    from engine.demo.run import run

    raise typer.Exit(run(out, first, seconds, seed))
