"""Scenario `formats-programs`: logs of real programs and reported cases, read with the defaults.

Each input has a table of what is right (`bench/data/program_outcomes.toml`). An input is right if its records have
that number, times, levels and kinds of HTTP status, in order. The inputs lie in the folder `cases` next to the data
folder, or in the one that `--set inputs=FOLDER` names; they are not part of the project. With `--set daemons=FOLDER`
the logs that `bench.programs.run` left there are inputs, too; what is right for them is in `bench.programs.judge`.
"""

import os
import re
import time
import tomllib
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.harness import BenchError, Outcome, Run, Scenario, Target
from bench.programs.judge import PARTS, daemons, read_records
from bench.programs.judge import wrong as wrong_in_daemon
from engine.cli.input_files import LogFiles
from engine.clock import SystemClock
from engine.corpus.data import Folders
from engine.formats.http_status import NAMES
from engine.steps.parse import Parser, ParseSettings
from engine.steps.window import build_windower
from engine.windows.timewindow import TimeWindows

_OUTCOMES = Path(__file__).parents[1] / "data" / "program_outcomes.toml"
_STATUS = re.compile("<(" + "|".join(name for name in NAMES if name) + ")>")
_PRECISION_NS = 1_000
"""Numbers of JSON keep microseconds."""


def formats_programs(run: Run) -> Outcome:
    """See the module."""
    folder = _folder(run)
    outcomes: Mapping[str, Mapping[str, Any]] = tomllib.loads(_OUTCOMES.read_text("utf-8"))
    faults: dict[str, list[str]] = {}
    for i, (name, right) in enumerate(sorted(outcomes.items())):
        run.progress(name, i, len(outcomes))
        faults[name] = wrong(folder / name, right)
    own, known = run.setting("daemons", ""), daemons()
    for log in sorted(Path(own).glob("*.log")) if own else ():
        faults[f"daemon {log.stem}"] = wrong_in_daemon(log, known[log.stem])
    parts = {f"right_{part}": 1 - sum(part in found for found in faults.values()) / len(faults) for part in PARTS}
    share = sum(not found for found in faults.values()) / len(faults)
    metrics: dict[str, int | float] = {"right": share, "inputs": len(faults), **parts}
    return Outcome(metrics, detail={"wrong": {name: found for name, found in faults.items() if found}})


def wrong(path: Path, right: Mapping[str, Any]) -> list[str]:
    """The parts of `PARTS` that are not right for one input.

    Args:
        path: The input.
        right: Its table in the file of outcomes.

    Raises:
        BenchError: the input does not exist.
    """
    if not path.is_file():
        raise BenchError(f"{path} does not exist; name the folder of the inputs with --set inputs=FOLDER")
    settings = ParseSettings(format=right.get("format", "auto"), timezone=right.get("timezone", "UTC"))
    if "lost" in right:
        return ["records"] if _lost(path, settings) > right["lost"] else []
    started_ns = time.time_ns()
    records = read_records(path, settings)
    if "count" in right:
        return [] if len(records) == right["count"] else ["records"]
    if len(records) != len(right["records"]):
        return ["records"]
    pairs = list(zip(right["records"], records, strict=True))
    dated = {record["timestamp"] for text, record in pairs if not text.startswith("-")}
    return sorted({part for text, record in pairs for part in _differences(text, record, started_ns, dated)})


def _differences(text: str, record: Mapping[str, Any], started_ns: int, dated: Collection[int]) -> list[str]:
    """The parts in which a record differs from its text in the table; `dated`: times of records that have one."""
    moment, *words = text.split()
    status = next((word for word in words if word.isupper()), "")
    level = next((word for word in words if word.islower()), "")
    found_status = _STATUS.search(record["template"])
    if moment == "-":
        timed = record["timestamp"] in dated or (not dated and record["timestamp"] >= started_ns)
    else:
        timed = abs(record["timestamp"] - _nanoseconds(moment)) <= _PRECISION_NS
    right = {"time": timed, "level": record["level"] == level, "status": (found_status or ["", ""])[1] == status}
    return [part for part, same in right.items() if not same]


def _nanoseconds(moment: str) -> int:
    whole, _, fraction = moment.partition(".")
    return int(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * 10**9 + int(fraction.ljust(9, "0"))


def _lost(path: Path, settings: ParseSettings) -> int:
    """Lines that windows by default settings do not take, or that the parser rejects."""
    files = LogFiles([str(path)])
    parser = Parser(settings, files.describe)
    windower = build_windower(TimeWindows(), SystemClock())
    lost = 0
    for batch in files.batches():
        parsed = parser.parse(batch)
        lost += len(parsed.good.bad) + len(windower.add(parsed.good).late)
    return lost


def _folder(run: Run) -> Path:
    data = Folders.of(os.environ).data
    chosen = run.setting("inputs", "" if data is None else str(data.parent / "cases"))
    if not chosen:
        raise BenchError("this scenario needs --set inputs=FOLDER, or DRIFTLINE_DATA_DIR next to a folder `cases`")
    return Path(chosen)


FORMATS_PROGRAMS = Scenario(
    "formats-programs",
    "Share of the logs of real programs and reported cases that are right in time, level, records and status",
    formats_programs,
    {"right": Target(goal=0.97, floor=0.90, tolerance=0.01)},
)
