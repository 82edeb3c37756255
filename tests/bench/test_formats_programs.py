"""The scorekeeper of real programs' logs finds what differs from the table, part by part."""

import pytest

from bench.harness import BenchError, Run
from bench.scenarios.formats_programs import formats_programs, wrong

LINES = b"2024-03-10T06:25:01.5Z ERROR shop: no stock\n"
RIGHT = ["2024-03-10T06:25:01.5 error"]
ACCESS = b'10.0.0.7 - - [10/Mar/2024:06:25:02 +0000] "GET / HTTP/1.1" 502 17\n'


@pytest.mark.parametrize(
    ("lines", "records", "faults"),
    [
        (LINES, RIGHT, []),
        (LINES, ["2024-03-10T06:25:01.4 error"], ["time"]),
        (LINES, ["2024-03-10T06:25:01.5 warn"], ["level"]),
        (LINES, ["- error"], ["time"]),
        (LINES, [*RIGHT, *RIGHT], ["records"]),
        (ACCESS, ["2024-03-10T06:25:02 UNAVAILABLE"], []),
        (ACCESS, ["2024-03-10T06:25:02 SUCCESS"], ["status"]),
        (b"no time here\n", ["-"], []),
    ],
)
def test_parts_that_differ(tmp_path, lines, records, faults):
    path = tmp_path / "app.log"
    path.write_bytes(lines)
    assert wrong(path, {"records": records}) == faults


def test_lost_lines_are_counted(tmp_path):
    path = tmp_path / "app.log"
    path.write_bytes(b"".join(b"2024-03-10T06:%02d:00Z INFO app: up\n" % minute for minute in (1, 30, 2, 31)))
    assert wrong(path, {"lost": 0}) == ["records"]
    assert wrong(path, {"lost": 1}) == []


def test_names_the_setting_where_inputs_are_missing(tmp_path, monkeypatch):
    monkeypatch.delenv("DRIFTLINE_DATA_DIR", raising=False)
    with pytest.raises(BenchError, match="--set inputs=FOLDER"):
        formats_programs(Run())
    with pytest.raises(BenchError, match="does not exist"):
        formats_programs(Run(overrides={"inputs": str(tmp_path)}))
