"""Run daemons of Debian's packages, provoke failures, and state how their logs are read.

    python -m bench.programs.run --out FOLDER [NAME ...]

It fetches packages from Debian's archive and runs programs, so it is neither a test nor a scenario. The daemons and
what each is asked are in `bench/data/daemons.toml`. The logs stay in the folder, each with the time of its run, so that
`python -m bench run formats-programs --set daemons=FOLDER` reads them again.
What is right is in `bench.programs.judge`.
"""

import argparse
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.programs.debian import PackageError, environment, unpack
from bench.programs.judge import daemons, wrong
from connectors.ports import free_port

START_S, ANSWER_S, STOP_S, PREPARE_S = 2.0, 1.0, 5.0, 60.0


def main(arguments: Sequence[str]) -> int:
    """Run the daemons named (all by default); print one JSON object a daemon, and a summary."""
    options = argparse.ArgumentParser(prog="bench.programs.run")
    options.add_argument("--out", type=Path, required=True, help="Folder for packages, programs and logs.")
    options.add_argument("names", nargs="*", help="Daemons of bench/data/daemons.toml; all by default.")
    given = options.parse_args(arguments)
    known = daemons()
    right, ran = 0, 0
    for name in given.names or known:
        try:
            log = run(name, known[name], given.out)
        except (PackageError, OSError, subprocess.SubprocessError) as error:
            print(json.dumps({"daemon": name, "failed": str(error)}), flush=True)
            continue
        faults = wrong(log, known[name])
        ran, right = ran + (log.stat().st_size > 0), right + (not faults)
        print(json.dumps({"daemon": name, "wrong": faults}), flush=True)
    print(json.dumps({"ran": ran, "right": right}))
    return 0


def run(name: str, daemon: Mapping[str, Any], out: Path) -> Path:
    """Fetch, start, ask and stop one daemon; returns its log.

    Raises:
        PackageError: a package cannot be fetched, or lacks a library.
        OSError: the program cannot be started.
        subprocess.SubprocessError: a command that prepares it fails or hangs.
    """
    cache, root, folder = out / "packages", out / "root" / name, out / "run" / name
    shutil.rmtree(folder, ignore_errors=True)  # what an earlier run logged there
    for made in (cache, root, folder):
        made.mkdir(parents=True, exist_ok=True)
    unpack(daemon["packages"], cache, root)
    port = free_port()
    values = {"root": str(root.resolve()), "dir": str(folder.resolve()), "port": str(port)}
    for file, text in daemon.get("files", {}).items():
        (folder / file).write_text(_filled(text, values))
    for command in daemon.get("before", ()):
        subprocess.run(
            _filled(command, values).split(), cwd=folder, env=environment(root), capture_output=True, check=True,
            timeout=PREPARE_S,
        )  # fmt: skip
    log = out / f"{name}.log"
    started_ns = time.time_ns()
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
    written = (folder / daemon.get("log", "output")).read_bytes()
    if b"error while loading shared libraries" in written:
        raise PackageError(f"{name} misses a library: {written.decode('utf-8', 'replace').strip()}")
    log.write_bytes(written)
    log.with_suffix(".json").write_text(json.dumps({"started_ns": started_ns, "ended_ns": time.time_ns()}))
    return log


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
