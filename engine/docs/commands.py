"""The page of all commands, written from the commands themselves: `python -m engine.docs.commands`."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

HEAD = """\
# Commands

Every command has `--help`. It exits with 0 on success, and with 2 and one sentence on standard error if an option or an
input cannot be used. With `--json`, standard output holds JSON only. This page is generated from the commands by
`python -m engine.docs.commands`; do not edit it.
"""


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name, such as `driftline models list`, in the order of the help."""
    from engine.cli.app import app

    yield from _walk("driftline", typer.main.get_command(app))


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    # By attribute, not by class: Typer carries its own copy of Click from 0.26 on.
    if not hasattr(command, "commands"):
        yield name, command
        return
    for child, found in command.commands.items():
        yield from _walk(f"{name} {child}", found)


def reference() -> str:
    """The whole page as Markdown."""
    return "\n".join([HEAD, *(_section(name, command) for name, command in commands())])


def _section(name: str, command: Any) -> str:
    text, _, example = inspect.cleandoc(command.help or "").partition("Example:")
    rows = [f"| {_usage(p)} | {_default(p)} | {_help(p)} |" for p in command.params]
    table = "\n".join(["| option | default | meaning |", "|---|---|---|", *rows])
    return f"## `{name}`\n\n{text.strip()}\n\n```bash\n{' '.join(example.split())}\n```\n\n{table}\n"


def _usage(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{(parameter.name or '').upper()}`"
    return ", ".join(f"`{name}`" for name in parameter.opts)


def _default(parameter: Any) -> str:
    default = parameter.default
    if parameter.required:
        return "**required**"
    if default is None or default is False or default in ("", []) or callable(default):
        return ""
    return f"`{default}`"


def _help(parameter: Any) -> str:
    return " ".join(str(getattr(parameter, "help", None) or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    path = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
    path.write_text(reference(), encoding="utf-8")
    sys.stdout.write(f"{path}\n")
