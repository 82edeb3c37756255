import re

import click
import pytest

from engine.docs.commands import commands, reference
from foundation.version import VERSION
from tests.support.paths import ROOT

COMMANDS = dict(commands())


def test_the_commands_are_those_of_the_design():
    assert {"driftline run", "driftline check", "driftline train", "driftline evaluate", "driftline score"} <= set(
        COMMANDS
    )
    assert {"driftline models recalibrate", "driftline runs list", "driftline data get"} <= set(COMMANDS)


def test_the_version_is_that_of_the_package(driftline):
    assert driftline("--version").out == f"driftline {VERSION}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_that_the_command_would_take(driftline, name):
    ran = driftline(*name.split()[1:], "--help")
    assert ran.code == 0
    text = " ".join(ran.out.split())
    assert f"Example: {name}" in text
    command = COMMANDS[name]
    example = " ".join((command.help or "").partition("Example:")[2].split()).removeprefix(name)
    with click.Context(command, info_name=name) as context:
        known = {option for parameter in command.get_params(context) for option in parameter.opts}
    assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", example)) <= known
    command.make_context(name, example.split(), resilient_parsing=False).close()


def test_the_page_of_commands_is_what_the_commands_say():
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    assert page == reference(), "run `python -m engine.docs.commands` and commit docs/commands.md"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name):
    section = (ROOT / "docs" / "commands.md").read_text("utf-8").partition(f"## `{name}`\n")[2].partition("\n## ")[0]
    assert section
    for parameter in COMMANDS[name].params:
        assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"
        if isinstance(parameter, click.Option):
            assert f"`{parameter.opts[0]}`" in section


def test_an_option_that_is_not_known_is_told(driftline):
    ran = driftline("train", "--colour", "red")
    assert ran.code == 2
    assert "--colour" in ran.err
    assert "Traceback" not in ran.err
