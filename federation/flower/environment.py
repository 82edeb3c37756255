"""The environment in which Flower's programs run: variables, commands and secrets."""

import os
import secrets
import sys
import sysconfig
from pathlib import Path

from federation.errors import SetupError


def flower_environment(home: Path) -> dict[str, str]:
    """All environment variables for a program of Flower; `home` is the folder for Flower's own files."""
    # Settings in the environment are secrets (the training store's key, passwords), and Flower needs none of them.
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLWR_", "DRIFTLINE_"))}
    scripts = sysconfig.get_path("scripts")
    return kept | {
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_HOME": str(home),
        # Seconds between two polls for a task; every message pays the default of one second.
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
        "PATH": os.pathsep.join([scripts, kept.get("PATH", "")]),
        # The packages of this process, also if they run from a checkout and are not installed.
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[2]), kept.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }


def flower_program(name: str) -> str:
    """Path of a program of Flower in this environment, such as `flower-superlink`.

    Raises:
        SetupError: Flower is not installed.
    """
    path = Path(sysconfig.get_path("scripts")) / name
    if not path.is_file():
        raise SetupError(f"{name} is not in {path.parent}: install the extra, pip install 'driftline[federation]'")
    return str(path)


def python_module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module with this interpreter."""
    return [sys.executable, "-m", name, *arguments]


def write_secret(path: Path) -> None:
    """Write 32 random bytes that only this user can read; an existing file is replaced."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(32))
