"""Run daemons of Debian's packages, provoke failures, and state how their logs are read.

    python -m bench.programs.run --out FOLDER [NAME ...]

It fetches packages from Debian's archive and runs programs, so it is neither a test nor a scenario. The daemons and
what each is asked are in `bench/data/daemons.toml`. The logs stay in the folder, as inputs to read: a log is right if
the records have a time and levels where the program writes them.
"""

import argparse
import json
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.programs.debian import PackageError, environment, unpack
from bench.scenarios.formats_programs import read_records
from connectors.ports import free_port
from engine.steps.parse import ParseSettings

DAEMONS = Path(__file__).parents[1] / "data" / "daemons.toml"
START_S, ANSWER_S, STOP_S = 2.0, 1.0, 5.0
MOST_UNDATED, FEWEST_LEVELS = 0.1, 0.5
"""Shares of records: without the time that the program writes, and with the level that it writes."""


def main(arguments: Sequence[str]) -> int:
    """Run the daemons named (all by default); print one JSON object a daemon, and a summary."""
    options = argparse.ArgumentParser(prog="bench.programs.run")
    options.add_argument("--out", type=Path, required=True, help="Folder for packages, programs and logs.")
    options.add_argument("names", nargs="*", help="Daemons of bench/data/daemons.toml; all by default.")
    given = options.parse_args(arguments)
    daemons: dict[str, dict[str, Any]] = tomllib.loads(DAEMONS.read_text("utf-8"))
    right, ran = 0, 0
    for name in given.names or daemons:
        try:
            log = run(name, daemons[name], given.out)
        except (PackageError, OSError, subprocess.SubprocessError) as error:
            print(json.dumps({"daemon": name, "failed": str(error)}), flush=True)
            continue
        found = judge(log, daemons[name])
        ran, right = ran + (found["records"] > 0), right + bool(found["right"])
        print(json.dumps({"daemon": name, **found}), flush=True)
    print(json.dumps({"ran": ran, "right": right}))
    return 0


def run(name: str, daemon: Mapping[str, Any], out: Path) -> Path:
    """Fetch, start, ask and stop one daemon; returns its log.

    Raises:
        PackageError: a package cannot be fetched.
        OSError: the program cannot be started.
    """
    cache, root, folder = out / "packages", out / "root" / name, out / "run" / name
    for made in (cache, root, folder):
        made.mkdir(parents=True, exist_ok=True)
    unpack(daemon["packages"], cache, root)
    port = free_port()
    values = {"root": str(root.resolve()), "dir": str(folder.resolve()), "port": str(port)}
    for file, text in daemon.get("files", {}).items():
        (folder / file).write_text(_filled(text, values))
    for command in daemon.get("before", ()):
        subprocess.run(_filled(command, values).split(), cwd=folder, env=environment(root), capture_output=True)
    log = out / f"{name}.log"
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            _filled(daemon["command"], values).split(), cwd=folder, env=environment(root), stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        time.sleep(daemon.get("start_s", START_S))
        for text in daemon.get("send", ()):
            _ask(port, _filled(text, values).encode("latin-1"))
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    log.write_bytes((folder / daemon.get("log", "output")).read_bytes())
    return log


def judge(log: Path, daemon: Mapping[str, Any]) -> dict[str, Any]:
    """How a log is read, and whether time and level are as the program writes them."""
    started_ns = time.time_ns()
    records, reader = read_records(log, ParseSettings())
    count = max(1, len(records))
    undated = sum(record["timestamp"] >= started_ns for record in records) / count
    levels = sum(record["level"] != "" for record in records) / count
    timed = undated <= MOST_UNDATED if daemon["time"] else undated == 1
    return {
        "records": len(records), "formats": reader.formats,
        "undated": round(undated, 2), "levels": round(levels, 2),
        "right": bool(records) and timed and (levels >= FEWEST_LEVELS if daemon["level"] else True),
    }  # fmt: skip


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def _ask(port: int, data: bytes) -> None:
    """Sends something and reads the answer; a daemon that does not listen or hangs up is what is looked for."""
    try:
        with socket.create_connection(("127.0.0.1", port), ANSWER_S) as connection:
            connection.sendall(data)
            connection.settimeout(ANSWER_S)
            connection.recv(4096)
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
