"""The Typer application, and how errors reach the user: one sentence, exit code 2."""

import sys
from importlib import metadata
from typing import Annotated

import click
import typer

from connectors.base import ConnectorError
from engine.cli import classify, data, demo, detect, federate, label, models, parse, run, runs, train
from engine.corpus.data import DataError
from engine.offline.evaluation_report import EvaluationError
from engine.runtime.recovery import RecoveryError
from engine.settings import SettingsFileError
from engine.telemetry.endpoints import EndpointError
from federation.errors import FederationError
from models.base import ModelError

app = typer.Typer(
    name="driftline",
    help="Finds anomalies in log streams where the logs are.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"driftline {metadata.version('driftline')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command("run")(run.run)
app.command("check")(run.check)
app.command("train")(train.train)
app.command("evaluate")(detect.evaluate)
app.command("score")(detect.score)
app.command("parse")(parse.parse)
app.command("classify")(classify.classify)
app.command("label")(label.label)
app.command("demo")(demo.demo)
app.add_typer(federate.app, name="federate")
app.add_typer(models.app, name="models")
app.add_typer(runs.app, name="runs")
app.add_typer(data.app, name="data")

USER_ERRORS = (
    ConnectorError, DataError, EndpointError, EvaluationError, FederationError, ModelError, RecoveryError,
    SettingsFileError,
)  # fmt: skip
"""What a user can mend: told in words, without a traceback."""


def run_command(arguments: list[str] | None = None) -> int:
    """Runs a command line and returns its exit code."""
    try:
        result = app(args=arguments, standalone_mode=False)
    except USER_ERRORS as error:
        print(f"driftline: {error}", file=sys.stderr)
        return 2
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        print("driftline: interrupted", file=sys.stderr)
        return 130
    return result if isinstance(result, int) else 0
