"""Whether the log of a daemon that ran here is read right: records, times, levels and kinds of HTTP status.

What is right is stated in `bench/data/daemons.toml` by patterns for the daemon's own lines, and by when it ran.
"""

import re
import time
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from engine.cli.input_files import LogFiles
from engine.formats.base import LEVELS
from engine.formats.http_status import KINDS, NAMES
from engine.offline.export import JsonRecord, RecordReader
from engine.steps.parse import Parser, ParseSettings

DAEMONS = Path(__file__).parents[1] / "data" / "daemons.toml"
PARTS = ("records", "time", "level", "status")
MOST_UNDATED, FEWEST_LEVELS = 0.1, 0.5
"""Shares of records: without the time that the program writes, and with the level that it writes."""

_MARGIN_NS = 2_000_000_000
"""Clocks of logs are precise to a second, and some programs round."""

_STATUS = re.compile("<(" + "|".join(name for name in NAMES if name) + ")>")


def daemons() -> Mapping[str, Mapping[str, Any]]:
    """What is known about each daemon, by name."""
    return tomllib.loads(DAEMONS.read_text("utf-8"))


def read_records(path: Path, settings: ParseSettings) -> list[JsonRecord]:
    """The records of a log."""
    files = LogFiles([str(path)])
    reader = RecordReader(Parser(settings, files.describe))
    records = [record for batch in files.batches() for record in reader.add(batch)]
    return records + reader.finish()


def wrong(log: Path, daemon: Mapping[str, Any]) -> list[str]:
    """The parts of `PARTS` that are not right in a log, next to which `run` wrote when the daemon ran."""
    span = orjson.loads(log.with_suffix(".json").read_bytes())
    reading_ns = time.time_ns()
    records = read_records(log, ParseSettings())
    lines = [line for line in log.read_bytes().decode("utf-8", "replace").splitlines() if line.strip()]
    first = re.compile(daemon.get("record", ""))
    right = {
        "records": len(records) == sum(first.match(line) is not None for line in lines) > 0,
        "time": _timed(records, span) if daemon["time"] else all(r["timestamp"] >= reading_ns for r in records),
        "level": not daemon["level"] or _levelled(records, lines, daemon.get("levels")),
        "status": "status" not in daemon or _same_kinds(records, lines, re.compile(daemon["status"])),
    }
    return [part for part in PARTS if not right[part]]


def _timed(records: Sequence[JsonRecord], span: Mapping[str, int]) -> bool:
    """Whether records have a time within the run."""
    first, last = span["started_ns"] - _MARGIN_NS, span["ended_ns"] + _MARGIN_NS
    return sum(first <= int(record["timestamp"]) <= last for record in records) >= (1 - MOST_UNDATED) * len(records)


def _levelled(records: Sequence[JsonRecord], lines: Sequence[str], levels: Mapping[str, str] | None) -> bool:
    """Whether each level occurs as often as `levels["pattern"]` finds it; without a pattern, whether most have one."""
    if levels is None:
        return sum(bool(record["level"]) for record in records) >= FEWEST_LEVELS * len(records)
    words = [found[1] for line in lines if (found := re.match(levels["pattern"], line))]
    return Counter(levels.get(word) or LEVELS[word.upper()] for word in words) == Counter(
        record["level"] for record in records if record["level"]
    )


def _same_kinds(records: Sequence[JsonRecord], lines: Sequence[str], code: re.Pattern[str]) -> bool:
    """Whether each kind of status occurs as often as the pattern finds a code of that kind."""
    kinds = [NAMES[KINDS[int(found[1])]] for line in lines if (found := code.search(line))]
    seen = [found[1] for record in records if (found := _STATUS.search(record["template"]))]
    return bool(kinds) and Counter(kinds) == Counter(seen)
