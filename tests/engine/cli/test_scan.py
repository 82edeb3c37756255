"""`driftline scan` on the command line: every kind of input and every option."""

import gzip
import sys

import pytest

from tests.engine.findings.lines import syslog

OOM = (
    "kernel: Out of memory: Killed process 4711 (mysqld) total-vm:8123456kB",
    "systemd[1]: mysql.service: Main process exited, code=killed, status=9/KILL",
)
LINES, ROWS = syslog(3000, seed=1, incident=OOM, at=2600)
CUT = 2000
KILLED = "Out of memory: Killed process"


def text(lines):
    return b"".join(line + b"\n" for line in lines)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "syslog"
    path.write_bytes(text(LINES))
    return path


@pytest.fixture
def rotated(tmp_path):
    """A folder with the same log in a compressed and a plain part, and a picture."""
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "syslog.1.gz").write_bytes(gzip.compress(text(LINES[:CUT])))
    (folder / "syslog").write_bytes(text(LINES[CUT:]))
    (folder / "chart.png").write_bytes(b"\x89PNG\r\n")
    return folder


def only_finding(ran):
    assert ran.code == 0, ran.err
    (found,) = ran.json()["findings"]
    assert KILLED in found["summary"]
    return found


def test_the_findings_of_a_file_are_printed_with_their_places(driftline, log):
    ran = driftline("scan", log)
    assert ran.code == 0
    assert f"{log}: {len(LINES):,} lines" in ran.out
    assert "1. critical" in ran.out
    assert "never seen before" in ran.out
    assert f"{log}:{ROWS[0] + 1}: {LINES[ROWS[0]].decode()}" in ran.out
    assert f"something at line {ROWS[0] + 1:,}" in ran.err


def test_a_log_without_an_incident_has_no_findings(driftline, tmp_path):
    path = tmp_path / "syslog"
    path.write_bytes(text(syslog(3000, seed=1)[0]))
    ran = driftline("scan", path, "--fail-on", "info")
    assert ran.code == 0
    assert "Nothing new or unusual found." in ran.out


def test_json_names_rows_places_and_reasons(driftline, log):
    ran = driftline("scan", log, "--json")
    found = only_finding(ran)
    assert ran.err == ""
    assert (found["rank"], found["severity"], found["source"]) == (1, "critical", str(log))
    assert found["first_row"] == ROWS[0]
    places = {example["place"] for reason in found["reasons"] for example in reason["examples"]}
    assert places == {f"{log}:{row + 1}" for row in ROWS}
    (source,) = ran.json()["sources"]
    assert source["lines"] == source["records"] == len(LINES)


def test_the_report_is_a_page_with_the_finding(driftline, log, tmp_path):
    page = tmp_path / "report.html"
    assert driftline("scan", log, "--html", page).code == 0
    html = page.read_text()
    assert KILLED in html
    assert "<svg" in html


@pytest.mark.parametrize(
    "given",
    ["{0}", "{0}/syslog*", "{0}/**/syslog*", "{0}/syslog.1.gz {0}/syslog"],
    ids=["folder", "glob", "deep", "files"],
)
def test_rotations_are_one_log_read_from_the_oldest_on(driftline, rotated, given):
    ran = driftline("scan", *given.format(rotated).split(), "--json")
    found = only_finding(ran)
    (source,) = ran.json()["sources"]
    assert source["records"] == len(LINES)
    assert found["first_row"] == ROWS[0]
    assert found["reasons"][0]["examples"][0]["place"].startswith(f"{rotated / 'syslog'}:")


@pytest.mark.parametrize("name", ["syslog.1.gz", "yesterday.log.gz"], ids=["rotation", "other name"])
def test_a_baseline_is_learnt_and_not_judged(driftline, tmp_path, name):
    log, past = tmp_path / "syslog", tmp_path / name
    log.write_bytes(text(LINES[CUT:]))
    past.write_bytes(gzip.compress(text(LINES[:CUT])))
    ran = driftline("scan", log, "--baseline", past, "--json")
    only_finding(ran)
    (source,) = ran.json()["sources"]
    assert (source["learnt_records"], source["learnt_why"]) == (CUT, "a baseline was given")


def test_a_baseline_in_time_hides_what_it_holds(driftline, log):
    ran = driftline("scan", log, "--baseline", "7d", "--json")
    assert ran.code == 0
    assert ran.json()["findings"] == []


@pytest.mark.parametrize(("since", "count"), [("1h", 1), ("10s", 0), ("2026-11-27T01:00", 1), ("2026-11-28", 0)])
def test_since_leaves_out_what_ended_before(driftline, log, since, count):
    ran = driftline("scan", log, "--since", since, "--json")
    assert ran.code == 0
    assert len(ran.json()["findings"]) == count


@pytest.mark.parametrize("fail_on", ["info", "high", "critical"])
def test_a_finding_of_that_severity_fails_the_job(driftline, log, fail_on):
    ran = driftline("scan", log, "--fail-on", fail_on)
    assert ran.code == 1
    assert KILLED in ran.out


def test_standard_input_is_read(driftline, log, monkeypatch):
    with log.open("rb") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        ran = driftline("scan", "-", "--json")
    found = only_finding(ran)
    assert found["source"] == "standard input"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("none.log",), "none.log: no such file, folder or match"),
        (("{log}", "--baseline", "none.log"), "none.log: no such file, folder or match"),
        (("{log}", "--fail-on", "bad"), "--fail-on bad: one of info, low, medium, high, critical is expected"),
        (("{log}", "--since", "soon"), "--since soon: a time such as 2026-11-29T10:00 or a duration such as 2h"),
        (("{log}", "--format", "fancy"), "fancy"),
        (("{log}", "--timezone", "Moon/Base"), "Moon/Base"),
    ],
    ids=["path", "baseline", "fail-on", "since", "format", "timezone"],
)
def test_unusable_arguments_are_one_sentence(driftline, log, monkeypatch, arguments, sentence):
    monkeypatch.chdir(log.parent)
    ran = driftline("scan", *(a.format(log=log) for a in arguments))
    assert ran.code == 2
    assert sentence in ran.err
    assert "Traceback" not in ran.err


def test_a_truncated_archive_is_named(driftline, tmp_path):
    path = tmp_path / "syslog.gz"
    path.write_bytes(gzip.compress(text(LINES))[:-500])
    ran = driftline("scan", path)
    assert ran.code == 0
    assert f"warning: {path}: compressed data is damaged: the file ends inside its gzip data" in ran.err
    assert "syslog: 2,950 lines" in ran.out
