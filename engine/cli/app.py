"""The Typer application, and how errors reach the user: one sentence, exit code 2."""

import sys
from typing import Annotated, Any

import typer

from engine.cli import (
    alerts,
    ask,
    classify,
    data,
    demo,
    detect,
    federate,
    forward,
    label,
    models,
    parse,
    run,
    runs,
    scan,
    serve,
    state,
    train,
)  # fmt: skip
from foundation.errors import DriftlineError
from foundation.version import VERSION

app = typer.Typer(
    name="driftline",
    help="Finds anomalies in log streams, next to where the logs are written.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"driftline {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command("scan")(scan.scan)
app.command("run")(run.run)
app.command("check")(run.check)
app.command("forward")(forward.forward)
app.command("serve")(serve.serve)
app.command("mcp")(serve.mcp)
app.command("train")(train.train)
app.command("evaluate")(detect.evaluate)
app.command("score")(detect.score)
app.command("ask")(ask.ask)
app.command("parse")(parse.parse)
app.command("classify")(classify.classify)
app.command("label")(label.label)
app.command("demo")(demo.demo)
app.add_typer(alerts.app, name="alerts")
app.add_typer(federate.app, name="federate")
app.add_typer(models.app, name="models")
app.add_typer(runs.app, name="runs")
app.add_typer(data.app, name="data")
app.add_typer(state.app, name="state")


def run_command(arguments: list[str] | None = None) -> int:
    """Runs a command line and returns its exit code; errors that a user can correct print without a traceback."""
    try:
        result = app(args=arguments, prog_name="driftline", standalone_mode=False)
    except DriftlineError as error:
        print(f"driftline: {error}", file=sys.stderr)
        return 2
    except (typer.Abort, KeyboardInterrupt):
        print("driftline: interrupted", file=sys.stderr)
        return 130
    except _usage_error() as error:
        error.show()
        return int(error.exit_code)
    return result if isinstance(result, int) else 0


def _usage_error() -> Any:
    """Click's base class of usage errors, which prints itself; Typer carries its own copy of Click from 0.26 on."""
    return typer.BadParameter.mro()[2]
