"""Cells of CSV: a spreadsheet runs none of them, and what was written is read back."""

import csv
import io

import pytest

from engine.offline.export import CsvWriter, csv_cell, csv_text

FORMULAS = ["=1+1", '=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\tx", "\rx"]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_run_is_quoted_and_read_back(text):
    assert csv_cell(text) == f"'{text}"
    assert csv_text(csv_cell(text)) == text


@pytest.mark.parametrize("text", ["plain", "'quoted'", "", "a=b", "two\nlines", "ü"])
def test_other_text_stays(text):
    assert csv_cell(text) == text
    assert csv_text(text) == text
    assert csv_cell(7) == 7


def test_the_writer_escapes_fields_and_control_characters():
    file = io.BytesIO()
    writer = CsvWriter(file, ("timestamp", "message", "pid"))
    writer.write([{"timestamp": 0, "message": "=x\x1b[31m\x00", "pid": None}])
    writer.close()
    rows = list(csv.reader(io.StringIO(file.getvalue().decode(), newline="")))
    assert csv_text(rows[1][1]) == "=x\x1b[31m\x00"
    assert rows[1][1:] == ["'=x\u241b[31m\u2400", ""]
