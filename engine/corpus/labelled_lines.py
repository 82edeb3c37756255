"""Labelled lines from CSV or JSON lines, and the project's own labels for the seven-class set.

Columns: `message` (or `content`), and of `template`, `level`, `format`, `component`, `source` those
that are there; the class is in `class` (or `label`). `driftline label` writes such files. Rows
without a class are left out.

The seven-class set (2,000 lines from each of 16 systems of loghub) has one class per template, set
by hand with machine suggestions, and wrong for many: every line of OpenSSH is a security anomaly
there, successful logins too. `seven_class_labels.csv` has a class for each of its templates, decided
by reading all of them, with the reason where it differs.
"""

import csv
import gzip
import hashlib
import io
import lzma
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import zstandard

from engine.corpus.data import DataError
from engine.parsing.masks import DEFAULT_MASKS, Masker
from models.classify.base import CLASSES, Lines
from models.classify.training import LabelledLines

CORRECTED = "corrected"
"""Name of the project's own labels, where a file of labels can be named."""


def read_labelled(path: Path, labels: str = "") -> LabelledLines:
    """The distinct lines of a labelled file, messages masked as the engine masks them.

    Args:
        path: `.csv` or `.jsonl`, plain or compressed by gzip, xz or zstd.
        labels: "" takes the file's own classes; else the name of a CSV with fingerprint,class (see
            `fingerprint`), or `CORRECTED`. Templates that are not in it keep the file's class.

    Raises:
        DataError: the file is not there, lacks a column, or has a class that is none.
    """
    given = _labels(labels)
    mask = cache(Masker(DEFAULT_MASKS).mask)
    columns: dict[str, list[str]] = {name: [] for name in ("messages", "templates", "levels", "formats", "components")}
    classes: list[int] = []
    sources: list[str] = []
    for number, row in enumerate(_rows(path), start=2 if ".csv" in path.suffixes else 1):
        message = row.get("message") or row.get("content") or ""
        template = row.get("template") or mask(message)
        kind = given.get(fingerprint(template)) if given else None
        kind = kind or row.get("class") or row.get("label") or ""
        if not kind:
            continue
        if kind not in CLASSES:
            raise DataError(f"{path}: row {number}: '{kind}' is no class; classes are {', '.join(CLASSES)}")
        columns["messages"].append(mask(message))
        columns["templates"].append(template)
        columns["levels"].append(row.get("level") or "")
        columns["formats"].append(row.get("format") or "")
        columns["components"].append(mask(row.get("component") or ""))
        sources.append(row.get("source") or row.get("format") or "")
        classes.append(CLASSES.index(kind))
    if not classes:
        raise DataError(f"{path} has no row with a class in its column class or label")
    return LabelledLines.of(Lines.of(**columns), np.array(classes, np.int64), sources)


def fingerprint(template: str) -> str:
    """16 hex digits of a template: blake2b of its UTF-8 text, 8 bytes."""
    return hashlib.blake2b(template.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _labels(name: str) -> Mapping[str, str]:
    if not name:
        return {}
    if name == CORRECTED:
        text = files("engine.corpus").joinpath("seven_class_labels.csv").read_text("utf-8")
    else:
        text = _open(Path(name)).read()
    found = {}
    for number, row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        kind = row.get("class")
        if kind not in CLASSES or not row.get("fingerprint"):
            raise DataError(
                f"{name}: row {number}: expected fingerprint,class with one of {', '.join(CLASSES)}, not {kind!r}"
            )
        found[str(row["fingerprint"])] = str(kind)
    return found


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if ".jsonl" in path.suffixes:
        for number, line in enumerate(_open(path), start=1):
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise DataError(f"{path}: row {number} is no JSON: {error}") from error
            if not isinstance(row, dict):
                raise DataError(f"{path}: row {number} is no JSON object")
            yield row
        return
    if ".csv" not in path.suffixes:
        raise DataError(f"{path}: labelled lines come as .csv or .jsonl, plain or with .gz, .xz or .zst behind")
    reader = csv.DictReader(_open(path))
    names = reader.fieldnames or []
    if not {"message", "content"} & set(names) or not {"class", "label"} & set(names):
        raise DataError(f"{path} has the columns {', '.join(names) or '(none)'}; needed are message and class")
    yield from reader


def _open(path: Path) -> io.TextIOBase:
    try:
        raw = path.read_bytes()
        match path.suffix:
            case ".xz":
                raw = lzma.decompress(raw)
            case ".gz":
                raw = gzip.decompress(raw)
            case ".zst":
                raw = zstandard.ZstdDecompressor().stream_reader(raw).read()
    except (OSError, lzma.LZMAError, EOFError, zstandard.ZstdError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", errors="replace", newline="")
