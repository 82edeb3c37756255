"""`driftline forward` from its settings to its end."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from connectors.forwarder import Forwarder, ForwardSettings
from engine.settings import TomlSettings, read_toml, settings_of
from engine.stop_flag import StopFlag
from engine.telemetry.logs import LogSettings, setup_logging


class ForwardFile(TomlSettings, ForwardSettings):  # type: ignore[misc]  # its configuration extends the other
    """The TOML file of `driftline forward`."""


def load_forward(path: Path | None, options: Mapping[str, Any]) -> ForwardFile:
    """Read the settings from a file, with the options of the command line over them.

    Raises:
        SettingsFileError: the file is missing, is not TOML, or something cannot be used.
    """
    content = {} if path is None else read_toml(path)
    for name, value in options.items():
        content[name] = {**content.get(name, {}), **value} if isinstance(value, dict) else value
    content["files"] = {"follow": True, **content.get("files", {})}
    return settings_of(ForwardFile, content, "options" if path is None else str(path))


def run_forward(settings: ForwardFile) -> Forwarder:
    """Forward until the files end, or until SIGTERM or SIGINT."""
    password = settings.kafka.sasl_password
    setup_logging(LogSettings(), secrets=() if password is None else (password.get_secret_value(),))
    stop = StopFlag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    forwarder = Forwarder(settings, stopped=stop.is_set, wait=stop.wait)
    forwarder.run()
    return forwarder
