import pytest

from engine.offline.scan import Input, LogScan, sources_of
from engine.steps.parse import Parser, ParseSettings
from tests.engine.findings.lines import batches, syslog

OOM = (
    "kernel: Out of memory: Killed process 4711 (mysqld) total-vm:8123456kB",
    "systemd[1]: mysql.service: Main process exited, code=killed, status=9/KILL",
    "systemd[1]: mysql.service: Failed with result 'oom-kill'.",
)
FAILED = "sshd[{0}]: Failed password for invalid user admin from 198.51.100.7 port {0} ssh2"
BRUTE_FORCE = tuple(FAILED.format(4000 + i * 7919 % 50_000) for i in range(80))


def scanned(lines, **options):
    scan = LogScan(lambda: Parser(ParseSettings(format="auto"), lambda partition, position: ""), **options)
    total, read = sum(len(line) + 1 for line in lines), 0
    for batch in batches(lines):
        read += len(batch.data)
        scan.add(batch, Input("app.log", "app.log", total), share=read / total)
    scan.finish()
    return scan


@pytest.mark.parametrize("incident", [OOM, BRUTE_FORCE], ids=["new lines", "many known lines"])
def test_an_incident_is_one_finding_and_the_first(incident):
    lines, rows = syslog(3500, incident=incident, at=2800)
    documents = scanned(lines).documents()
    assert len(documents) == 1
    found = documents[0]
    assert found["rank"] == 1
    assert rows[0] - 5 <= found["first_row"] <= rows[-1]
    assert found["last_row"] >= rows[-1] - 5
    assert found["reasons"][0]["examples"][0]["line"].encode() in lines


def test_the_templates_of_an_incident_are_listed_with_places():
    lines, rows = syslog(3500, incident=OOM, at=2800)
    reasons = scanned(lines).documents()[0]["reasons"]
    assert {reason["examples"][0]["place"] for reason in reasons} >= {f"app.log:{row + 1}" for row in rows}


def test_an_ordinary_log_has_no_findings():
    assert [scanned(syslog(3500, seed=seed)[0]).documents() for seed in range(3)] == [[], [], []]


def test_how_much_was_learnt_is_reported():
    lines, _ = syslog(3500)
    source = sources_of(scanned(lines))[0]
    assert 1000 <= source["learnt_records"] <= 3100
    assert source["learnt_why"]


def test_a_baseline_in_time_is_kept():
    lines, _ = syslog(3500, incident=OOM, at=1200)
    assert scanned(lines, baseline_ns=4 * 3600 * 10**9).documents() == []


def test_a_baseline_in_time_ends_within_a_batch():
    lines, rows = syslog(3500, incident=OOM, at=2800)
    scan = LogScan(
        lambda: Parser(ParseSettings(format="auto"), lambda partition, position: ""), baseline_ns=3600 * 10**9
    )
    (batch,) = batches(lines, size=len(lines))
    scan.add(batch, Input("app.log", "app.log", len(batch.data)), share=1.0)
    scan.finish()
    source = scan.sources["app.log"]
    assert source.watch.judged_from is not None
    first_row, first_ns = source.watch.judged_from
    assert first_row < rows[0]
    assert source.first_ns is not None
    assert 3600 * 10**9 <= first_ns - source.first_ns < 2 * 3600 * 10**9
    assert scan.documents()
