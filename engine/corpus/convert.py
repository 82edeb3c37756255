"""Makes the files of a data set from what is downloaded, where they are not the same."""

import csv
import importlib
import io
import lzma
from pathlib import Path
from typing import Any

from engine.corpus.catalogue import HDFS_2PCT, SEVEN_CLASS
from engine.corpus.data import DownloadFailedError, write_whole
from foundation.extras import require

LINE_COLUMNS = ("date", "time", "id", "level", "component", "m_message")
"""Columns of LogLead's HDFS sample that make up the raw line, joined by single spaces."""


def convert_loglead_hdfs(folder: Path) -> None:
    """Makes the raw log and the label file of `HDFS_2PCT` from the two parquet files in `folder`.

    Raises:
        DownloadFailedError: the files lack a column.
        MissingExtraError: the extra `data` is not installed.
    """
    require("data", "the conversion of hdfs-2pct")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    try:
        lines = parquet.read_table(folder / HDFS_2PCT.downloads[0].path, columns=list(LINE_COLUMNS)).to_pydict()
        labels = parquet.read_table(folder / HDFS_2PCT.downloads[1].path).to_pydict()
        rows = zip(*(lines[column] for column in LINE_COLUMNS), strict=True)
        pairs = list(zip(labels["seq_id"], labels["anomaly"], strict=True))
    except KeyError as error:
        raise DownloadFailedError(f"the parquet files of hdfs-2pct have no column {error}") from error
    log = "".join(f"{' '.join(row)}\n" for row in rows).encode()
    table = "BlockId,Label\n" + "".join(f"{block},{'Anomaly' if bad else 'Normal'}\n" for block, bad in pairs)
    write_whole(folder / HDFS_2PCT.files[1], table.encode())
    write_whole(folder / HDFS_2PCT.files[0], lzma.compress(log, preset=6))


def convert_seven_class(folder: Path) -> None:
    """Makes the file of `SEVEN_CLASS` from the sixteen of its systems in `folder`.

    Raises:
        DownloadFailedError: a file lacks a column.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("source", "line", "template", "content", "label"))
    for download in SEVEN_CLASS.downloads:
        path = folder / download.path
        system = path.name.partition("_")[0]
        try:
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    kept = (row[name] for name in ("LineId", "EventTemplate", "Content", "AnomalyLabelName"))
                    writer.writerow((system, *kept))
        except KeyError as error:
            raise DownloadFailedError(f"{path} has no column {error}") from error
    write_whole(folder / SEVEN_CLASS.files[0], lzma.compress(text.getvalue().encode(), preset=6))
