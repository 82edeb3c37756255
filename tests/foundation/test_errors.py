"""Every package's base error derives from one root, so that the command line catches a single class."""

import importlib
import subprocess
import sys

import pytest

from foundation.errors import DriftlineError

BASES = [
    "bench.harness.BenchError",
    "connectors.base.ConnectorError",
    "engine.corpus.data.DataError",
    "engine.demo.files.DemoError",
    "engine.offline.evaluation_report.EvaluationError",
    "engine.parsing.templates.StateMismatchError",
    "engine.runtime.state_rows.RecoveryError",
    "engine.settings.SettingsFileError",
    "engine.telemetry.endpoints.EndpointError",
    "engine.windows.window_base.WindowStateError",
    "federation.errors.FederationError",
    "models.base.ModelError",
]


@pytest.mark.parametrize("path", BASES)
def test_base_error_derives_from_the_root(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert issubclass(getattr(importlib.import_module(module), name), DriftlineError)


def test_root_is_imported_without_any_package() -> None:
    code = "import sys, foundation.errors; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"foundation"} == {"engine", "federation", "connectors", "models", "foundation"} & set(loaded)
