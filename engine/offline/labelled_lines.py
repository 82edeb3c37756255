"""Labelled lines from CSV or JSON lines, and the project's own labels for the seven-class set.

Columns: `message` (or `content`), and of `template`, `level`, `format`, `component`, `source` those
that are there; the class is in `class` (or `label`). `driftline label` writes such files, and lines
read from one are to a classifier what the same lines are to it in service. Rows without a class are
left out.

The seven-class set (2,000 lines from each of 16 systems of loghub) has one class per template, set
by hand with machine suggestions, and wrong for many: every line of OpenSSH is a security anomaly
there, successful logins too. `seven_class_labels.csv` has a class for each of its templates, decided
by reading all of them, with the reason where it differs.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from engine.corpus.data import DataError
from engine.formats.loghub import FORMAT_OF
from engine.offline.export import csv_text
from engine.offline.inputs import read_whole
from engine.parsing.header import level_of
from engine.parsing.template_rules import masked_message
from engine.steps.classify import component_of
from foundation.content_ids import text_digest
from models.classify.base import CLASSES, Lines
from models.train_classifier import LabelledLines

CORRECTED = "corrected"
"""Name of the project's own labels, where a file of labels can be named."""

_TEXTS = ("message", "content", "template", "level", "format", "component", "source", "class", "label")
_LONGEST_FIELD = 1 << 30


def read_labelled(path: Path, labels: str = "") -> LabelledLines:
    """The distinct lines of a labelled file, masked as the engine masks lines of their format.

    A row without a format has that of its source, if that is a system of loghub.

    Args:
        path: `.csv` or `.jsonl`, plain or compressed by gzip, xz or zstd.
        labels: "" takes the file's own classes; else the name of a CSV with fingerprint,class (see
            `fingerprint`), or `CORRECTED`. Templates that are not in it keep the file's class.

    Raises:
        DataError: the file is not there, is cut short, lacks a column, or has a class that is none.
    """
    given, mask = _labels(labels), cache(masked_message)
    columns: dict[str, list[str]] = {name: [] for name in ("messages", "templates", "levels", "formats", "components")}
    classes: list[int] = []
    sources: list[str] = []
    for number, row in enumerate(_rows(path), start=2 if ".csv" in path.suffixes else 1):
        source, format = row.get("source") or "", row.get("format") or ""
        format = format or FORMAT_OF.get(source, "")
        message = mask(format, row.get("message") or row.get("content") or "")
        template = row.get("template") or message
        kind = given.get(fingerprint(template)) if given else None
        kind = kind or row.get("class") or row.get("label") or ""
        if not kind:
            continue
        if kind not in CLASSES:
            raise DataError(f"{path}: row {number}: '{kind}' is not a class; classes are {', '.join(CLASSES)}")
        columns["messages"].append(message)
        columns["templates"].append(template)
        columns["levels"].append(level_of({"level": (row.get("level") or "").encode()}, {}))
        columns["formats"].append(format)
        columns["components"].append(component_of(row.get("component") or ""))
        sources.append(source or format)
        classes.append(CLASSES.index(kind))
    if not classes:
        raise DataError(f"{path} has no row with a class in its column class or label")
    return LabelledLines.of(Lines.of(**columns), np.array(classes, np.int64), sources)


def fingerprint(template: str) -> str:
    """16 hex digits of a template: blake2b of its UTF-8 text, 8 bytes."""
    return text_digest(template).hex()


def _labels(name: str) -> Mapping[str, str]:
    if not name:
        return {}
    if name == CORRECTED:
        text = files("engine.offline").joinpath("seven_class_labels.csv").read_text("utf-8")
    else:
        text = read_whole(Path(name)).decode("utf-8", "backslashreplace")
    found = {}
    for number, row in enumerate(csv.DictReader(io.StringIO(text, newline="")), start=2):
        kind = row.get("class")
        if kind not in CLASSES or not row.get("fingerprint"):
            raise DataError(
                f"{name}: row {number}: expected fingerprint,class with one of {', '.join(CLASSES)}, not {kind!r}"
            )
        found[str(row["fingerprint"])] = str(kind)
    return found


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if ".jsonl" in path.suffixes:
        yield from _objects(path)
        return
    if ".csv" not in path.suffixes:
        raise DataError(f"{path}: labelled lines come as .csv or .jsonl, plain or with .gz, .bz2, .xz or .zst behind")
    text = io.TextIOWrapper(io.BytesIO(read_whole(path)), encoding="utf-8-sig", errors="backslashreplace", newline="")
    csv.field_size_limit(_LONGEST_FIELD)  # the module's own limit is shorter than a line may be
    reader = csv.DictReader(text)
    try:
        names = reader.fieldnames or []
        if not {"message", "content"} & set(names) or not {"class", "label"} & set(names):
            raise DataError(f"{path} has the columns {', '.join(names) or '(none)'}; needed are message and class")
        for row in reader:
            yield {name: csv_text(cell) if isinstance(cell, str) else cell for name, cell in row.items()}
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num} is not CSV: {error}") from error


def _objects(path: Path) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(io.BytesIO(read_whole(path)), start=1):
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise DataError(f"{path}: row {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}: row {number} is not a JSON object")
        if odd := next((k for k, v in row.items() if v is not None and not isinstance(v, str) and k in _TEXTS), None):
            raise DataError(f"{path}: row {number}: {odd} is {row[odd]!r:.60}, expected text")
        yield row
