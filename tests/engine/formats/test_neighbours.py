"""Logs of many programs, written for these tests: records, times, levels and kinds of HTTP status.

Each file in `neighbours` holds inputs of one sort. An input begins with `=== NAME`; a line `> TIME LEVEL [STATUS]
[FIELD=VALUE ...]` follows for each of its records (UTC, `-` for none), then its text. A record without a time has that
of a record near it if there is one, and else that of reading.
"""

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.formats.http_status import NAMES
from engine.offline.export import JsonRecord, RecordReader
from engine.steps.parse import ParseSettings
from tests.support.parsing import make_batch, new_parser

FOLDER = Path(__file__).parent / "neighbours"
READ_NS = int(dt.datetime(2024, 5, 20, tzinfo=dt.UTC).timestamp()) * 10**9
STATUS = re.compile("<(" + "|".join(name for name in NAMES if name) + ")>")


def cases() -> Iterator[tuple[str, list[str], bytes]]:
    """Name, expected records and text of each input."""
    for path in sorted(FOLDER.glob("*.txt")):
        for part in re.split(r"(?m)^=== ", path.read_text("utf-8"))[1:]:
            name, *lines = part.removesuffix("\n").split("\n")
            head = next(i for i, line in enumerate(lines) if not line.startswith("> "))
            yield f"{path.stem}: {name}", [line[2:] for line in lines[:head]], "\n".join(lines[head:]).encode()


CASES = list(cases())


def records_of(text: bytes) -> list[JsonRecord]:
    reader = RecordReader(new_parser(ParseSettings()))
    return reader.add(make_batch(text.split(b"\n"), read_ns=READ_NS)) + reader.finish()


def shown(record: JsonRecord) -> str:
    """Time, level and status as the files state them."""
    seconds, fraction = divmod(record["timestamp"], 10**9)
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if fraction:
        moment += f".{fraction:09d}".rstrip("0")
    status = STATUS.search(record["template"])
    words = ["-" if record["timestamp"] == READ_NS else moment, record["level"] or "-", status[1] if status else ""]
    return " ".join(words).strip()


def dated(expected: list[str]) -> list[str]:
    """Expected records, with the time of the record before or at the head of the next where they have none."""
    last, found = next((line.split()[0] for line in expected if not line.startswith("- ")), "-"), []
    for line in expected:
        moment, rest = line.split(" ", 1)
        last = last if moment == "-" else moment
        found.append(f"{last} {rest}")
    return found


@pytest.mark.parametrize(("name", "expected", "text"), CASES, ids=[name for name, _, _ in CASES])
def test_neighbour(name: str, expected: list[str], text: bytes) -> None:
    found = records_of(text)
    plain = dated([" ".join(word for word in line.split() if "=" not in word) for line in expected])
    assert [shown(record) for record in found] == plain, [record["message"] for record in found]
    for line, record in zip(expected, found, strict=True):
        for field, value in (word.split("=") for word in line.split() if "=" in word):
            assert str(record[field]) == value
