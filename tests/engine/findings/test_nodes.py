"""One host or thread of many that behaves otherwise: what it is compared with."""

import datetime as dt

import pytest

from engine.findings.finder import Finder
from engine.steps.parse import Parser, ParseSettings
from tests.engine.findings.lines import START, batches

THREADS = "{time:%Y-%m-%d %H:%M:%S},{ms:03} [{who}] INFO  shop.Worker - {text}"
HOSTS = "{time:%b %e %H:%M:%S} {who} app[17]: {text}"


def lines_of(layout, writers, texts):
    """One line a second, by the writers and with the texts in turn."""
    for i, (who, text) in enumerate(zip(writers, texts, strict=True)):
        yield layout.format(time=START + dt.timedelta(seconds=i), ms=i % 1000, who=who, text=text).encode()


def finder_of(lines, format):
    finder, parser = Finder(), Parser(ParseSettings(format=format), lambda partition, position: "")
    judged = [j for batch in batches(list(lines)) for j in finder.add(parser.parse(batch))]
    return finder, [s for j in [*judged, *finder.finish()] for s in j.signals if s.kind == "node"]


@pytest.mark.parametrize(("layout", "format", "name"), [(THREADS, "log4j", "thread w-{}"), (HOSTS, "syslog", "w-{}")])
def test_one_writer_of_many_is_named(layout, format, name):
    writers = [f"w-{i % 40}" for i in range(2000)]
    texts = [("cache refreshed" if i % 5 else "queue drained") for i in range(2000)]
    for i in range(1700, 1750, 2):
        writers[i], texts[i] = "w-7", "queue drained"
    finder, signals = finder_of(lines_of(layout, writers, texts), format)
    strongest = max(signals, key=lambda s: s.surprise)
    assert finder.reader.nodes[strongest.node] == name.format(7)
    assert 1700 <= strongest.last <= 1760
    assert finder.reader.host(strongest.node) == ("w-7" if format == "syslog" else "")


def test_ids_in_the_names_of_threads_do_not_make_threads():
    writers = [f"session-{100_000 + i}->{i % 3}" for i in range(900)]
    finder, _ = finder_of(lines_of(THREADS, writers, ["cache refreshed"] * 900), "log4j")
    assert finder.reader.nodes == ["", *(f"thread session-*->{i}" for i in range(3))]


def test_a_host_that_writes_for_the_first_time_is_compared_with_the_others():
    """Hosts come and go and write a line each; one that writes twenty at once is unlike all of them."""
    writers = [f"w-{i}" for i in range(2000)]
    writers[1700:1740:2] = ["w-1700"] * 20
    finder, signals = finder_of(lines_of(HOSTS, writers, ["core dumped"] * 2000), "syslog")
    assert {finder.reader.nodes[s.node] for s in signals if s.surprise > 6} == {"w-1700"}


def test_floods_from_other_hosts_are_no_surprise_from_a_new_one():
    writers = [f"w-{i // 20}" for i in range(4000)]
    _, signals = finder_of(lines_of(HOSTS, writers, ["parity error corrected"] * 4000), "syslog")
    assert [s for s in signals if s.surprise > 6] == []
