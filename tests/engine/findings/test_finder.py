import pytest

from engine.findings.finder import Finder
from engine.steps.parse import Parser, ParseSettings
from foundation import plain_pickle
from tests.engine.findings.lines import batches, syslog

OOM = ("kernel: Out of memory: Killed process 4711 (mysqld) total-vm:8123456kB", "systemd[1]: mysql.service: Failed.")


def parser(snapshot=None):
    return Parser(ParseSettings(format="syslog"), lambda partition, position: "", snapshot)


def signals_of(lines, size=1000, first=0):
    finder, reader = Finder(), parser()
    judged = [j for batch in batches(lines, size, first=first) for j in finder.add(reader.parse(batch))]
    return [signal for j in [*judged, *finder.finish()] for signal in j.signals]


@pytest.mark.parametrize(("size", "first"), [(1, 2200), (37, 0), (5000, 0)])
def test_batches_do_not_change_what_is_found(size, first):
    lines, _ = syslog(3000, incident=OOM, at=2500)
    assert signals_of(lines, size, first) == signals_of(lines)


def test_a_restart_in_the_middle_changes_nothing():
    lines, _ = syslog(3000, incident=OOM, at=2500)
    finder, reader, found = Finder(), parser(), []
    for batch in batches(lines, 700):
        found += [s for j in finder.add(reader.parse(batch)) for s in j.signals]
        finder, reader = Finder(plain_pickle.load(plain_pickle.dump(finder.snapshot()))), parser(reader.snapshot())
    found += [s for j in finder.finish() for s in j.signals]
    assert found == signals_of(lines)


def test_a_widened_template_is_not_new():
    lines = [
        f"Nov 27 10:{i // 60 % 60:02}:{i % 60:02} web-1 app[1]: user alpha opened page {i}".encode() for i in range(900)
    ]
    wider = [line.replace(b"alpha", name) for line, name in zip(lines, [b"beta", b"gamma"] * 450, strict=True)]
    found = [s for s in signals_of(lines + wider) if s.kind == "new" and s.first >= 900]
    assert found == []


def test_ids_that_no_mask_knows_do_not_make_templates():
    ids = [f"{i * 7919 % 16**9:09X}" for i in range(2000)]
    lines = [
        f"Nov 27 10:{i // 60 % 60:02}:{i % 60:02} mail postfix/qmgr[1]: {q}: removed".encode()
        for i, q in enumerate(ids)
    ]
    finder, reader = Finder(), parser()
    for batch in batches(lines):
        list(finder.add(reader.parse(batch)))
    assert len(finder.reader.table) <= 3
