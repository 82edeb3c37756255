"""A region's engine, run from Python."""

import os
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path

from engine.runtime.preflight import CheckResult, preflight
from engine.settings import RegionSettings, load
from engine.telemetry.opt_out import silence_third_parties


class Engine:
    """One engine with the settings of a region.

    Attributes:
        settings: The settings, validated.

    Example:
        >>> import driftline
        >>> engine = driftline.Engine.from_toml("eu-west.toml")  # doctest: +SKIP
        >>> [finding.name for finding in engine.check() if not finding.ok]  # doctest: +SKIP
        []
        >>> engine.run()  # doctest: +SKIP
        0
    """

    def __init__(self, settings: RegionSettings) -> None:
        self.settings = settings

    @classmethod
    def from_toml(cls, path: str | PathLike[str]) -> "Engine":
        """An engine with the settings of a region's TOML file (docs/configuration.md).

        Raises:
            DriftlineError: the file is missing, or a setting is unknown or cannot be used.
        """
        return cls(load(Path(fspath(path))))

    def check(self) -> Sequence[CheckResult]:
        """Tries every part that the engine needs, like `driftline check`: findings with `name`, `ok`, `detail`."""
        return list(preflight(self.settings))

    def run(self) -> int:
        """Runs until the source ends, or SIGTERM or SIGINT arrives; call it from the main thread.

        It sets up logging for the process and serves metrics as the settings say.

        Returns:
            The exit code of `driftline run`: 0 if all is delivered and saved.

        Raises:
            DriftlineError: a part cannot start.
        """
        silence_third_parties(os.environ)
        from engine.runtime.worker import run

        return run(self.settings)
