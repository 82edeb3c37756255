"""`driftline demo`."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for model, alerts and report; what a former demo left is replaced.")] = Path("run/demo"),
    first: Annotated[float, typer.Option(min=0.05, max=0.95, help="Share of the stream that the model is trained on.")] = 0.5,
    seconds: Annotated[float, typer.Option(min=1, help="How long streaming the rest shall take.")] = 30.0,
    seed: Annotated[int, typer.Option(help="Seed of the training, and of the simulator where it is needed.")] = 0,
) -> None:  # fmt: skip
    """Show the whole thing on this machine: train, stream through Kafka, alert, and judge the alerts.

    Example: driftline demo --seconds 20
    """
    from engine.demo import run

    raise typer.Exit(run(out, first, seconds, seed))
