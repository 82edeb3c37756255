import pytest

from engine.findings.warmup import WarmUpSettings
from engine.findings.watch import SourceWatch
from engine.steps.parse import Parser, ParseSettings
from tests.engine.findings.lines import batches, syslog

OOM = ("kernel: Out of memory: Killed process 4711 (mysqld) total-vm:8123456kB", "systemd[1]: mysql.service: Failed.")


def watched(lines, size):
    watch, parser = SourceWatch(WarmUpSettings()), Parser(ParseSettings(format="syslog"), lambda p, i: "")
    raised = [r.finding.first for batch in batches(lines, size) for r in watch.add(parser.parse(batch), str)]
    return watch.judged_from, raised


@pytest.mark.parametrize("size", [37, 100_000])
def test_batches_do_not_change_when_a_source_counts_as_known(size):
    lines, rows = syslog(4000, seed=1, incident=OOM, at=2500)
    judged_from, raised = watched(lines, size)
    assert (judged_from, raised) == watched(lines, 1000)
    assert judged_from[0] == 1000
    assert rows[0] in raised


def test_a_short_log_is_judged_from_its_middle_on():
    lines, rows = syslog(300, seed=1, incident=OOM, at=220)
    watch, parser = SourceWatch(WarmUpSettings()), Parser(ParseSettings(format="syslog"), lambda p, i: "")
    (batch,) = batches(lines)
    raised = watch.add(parser.parse(batch), str, share=1.0) + watch.finish()
    assert watch.judged_from[0] == 175  # the first block behind 151 of 302 lines
    assert rows[0] in [r.finding.first for r in raised]


def test_too_short_a_log_is_not_judged():
    lines, _ = syslog(90, incident=OOM, at=70)
    watch, parser = SourceWatch(WarmUpSettings()), Parser(ParseSettings(format="syslog"), lambda p, i: "")
    (batch,) = batches(lines)
    assert watch.add(parser.parse(batch), str, share=1.0) + watch.finish() == []
    assert watch.judged_from is None
