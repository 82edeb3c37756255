"""`driftline forward`: lines of files to Kafka."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def forward(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Files, folders and globs; not needed with --settings.")
    ] = None,
    brokers: Annotated[str | None, typer.Option(help="Kafka brokers, host:port separated by commas.")] = None,
    topic: Annotated[str | None, typer.Option(help="Topic that the lines are sent to.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="File in which the places in the files are kept.  [default: forward.json]")
    ] = None,
    lines: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of lines in one message.  [default: 500]")
    ] = None,
    age_s: Annotated[
        float | None, typer.Option(min=0, help="Seconds after which gathered lines are sent.  [default: 0.2]")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Send what is there and end, instead of following.")] = False,
    settings: Annotated[
        Path | None, typer.Option(help="TOML file with all settings; options given here override it.")
    ] = None,
) -> None:
    """Follow files and send their lines to a Kafka topic, several in a message, at least once.

    Example: driftline forward /var/log/app/*.log --brokers kafka-1:9092 --topic logs
    """
    from engine.runtime.forward import load_forward, run_forward

    files: dict[str, Any] = {"paths": paths} if paths else {}
    if once:
        files["follow"] = False
    kafka = {name: value for name, value in (("brokers", brokers), ("topic", topic)) if value is not None}
    given = {"files": files, "kafka": kafka, "state": state, "max_lines": lines, "max_age_s": age_s}
    done = run_forward(load_forward(settings, {name: value for name, value in given.items() if value is not None}))
    print(f"sent {done.lines} lines in {done.messages} messages", file=sys.stderr)
