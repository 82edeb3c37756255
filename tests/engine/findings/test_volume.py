"""All lines of a source together: drops, stops and surges, on steady, daily and bursty sources."""

import datetime as dt
import random

import pytest

from engine.findings.describe import summary
from engine.findings.warmup import WarmUpSettings
from engine.findings.watch import SourceWatch
from engine.steps.parse import Parser, ParseSettings
from tests.engine.findings.lines import START, batches

TEXTS = ("app[17]: page {n} served", "app[17]: session {n} opened", "cron[3]: job {n} done", "db[9]: query {n} ran")
HOURS = 30


def steady(hour):
    """Lines a minute."""
    return 5.0


def daily(hour):
    """Four times as many lines by day as by night."""
    return 8.0 if 8 <= hour % 24 < 20 else 2.0


def traffic(rate, *, changed=(0.0, 0.0), factor=1.0, hours=HOURS, seed=0):
    """Lines of four templates at `rate(hour)`, and at `factor` times that between two hours."""
    rng, second = random.Random(seed), 0.0
    while second < hours * 3600:
        hour = second / 3600
        now = rate(hour) * (factor if changed[0] <= hour < changed[1] else 1.0)
        if now == 0:
            second = changed[1] * 3600
            continue
        second += rng.expovariate(now / 60)
        text = rng.choice(TEXTS).format(n=rng.randint(1, 999))
        yield f"{START + dt.timedelta(seconds=second):%b %e %H:%M:%S} web-1 {text}".encode()


def found(lines):
    """Kind, summary and time of what is found about all lines, by a watch that learns from the first day."""
    watch = SourceWatch(WarmUpSettings(min_lines=1500))
    parser = Parser(ParseSettings(format="syslog"), lambda partition, position: "")
    for batch in batches(list(lines)):
        watch.add(parser.parse(batch), str)
    watch.finish()
    signals = [
        (finding.strength, signal, summary(finding, watch.finder.reader))
        for finding in watch.grouping.findings
        for _, signal in finding.signals.values()
        if signal.detector == "volume"
    ]
    return sorted(signals, key=lambda s: -s[0])


def hour_of(signal):
    began = dt.datetime.fromtimestamp(signal.first_ns / 1e9, dt.UTC)
    return (began - START.replace(year=began.year)).total_seconds() / 3600


@pytest.mark.parametrize("rate", [steady, daily])
@pytest.mark.parametrize("seed", range(2))
def test_ordinary_traffic_raises_no_finding(rate, seed):
    assert found(traffic(rate, seed=seed)) == []


@pytest.mark.parametrize("rate", [steady, daily])
def test_a_fall_to_a_twentieth_is_found_with_its_beginning(rate):
    strength, signal, text = found(traffic(rate, changed=(26, 28), factor=0.05))[0]
    assert signal.kind == "drop"
    assert strength > 1.5
    assert 25.7 <= hour_of(signal) < 27
    assert text.startswith(("all lines: fell from ", "all lines: none for "))


def test_a_stop_is_found_with_its_length_and_the_longest_pause_before():
    strength, signal, text = found(traffic(steady, changed=(26, 28), factor=0.0))[0]
    assert (signal.kind, signal.unit) == ("drop", "s")
    assert signal.observed == pytest.approx(7200, rel=0.02)
    assert text.startswith("all lines: none for 2 h, where the longest pause was ")
    assert strength > 2.5


def test_a_surge_of_everything_is_found():
    _, signal, text = found(traffic(steady, changed=(26, 28), factor=8.0))[0]
    assert signal.kind == "surge"
    assert 25.7 <= hour_of(signal) < 27
    assert text.startswith(("all lines: rose from 5", "all lines: rose from 4"))


def test_few_lines_raise_no_finding_where_pauses_are_ordinary():
    rng = random.Random(3)

    def bursts(hour):
        return 20.0 if rng.random() < 0.5 else 0.2

    assert found(traffic(bursts, changed=(26, 26.5), factor=0.2)) == []


def test_a_line_with_a_wrong_time_does_not_count_as_a_pause():
    lines = list(traffic(steady))
    lines[len(lines) * 7 // 8] = b"Dec 24 00:00:00 web-1 app[17]: page 1 served"
    assert found(lines) == []


def test_one_finding_lists_a_drop_and_the_templates_that_stop_with_it():
    watch = SourceWatch(WarmUpSettings(min_lines=1500))
    parser = Parser(ParseSettings(format="syslog"), lambda partition, position: "")
    for batch in batches(list(traffic(steady, changed=(26, 29), factor=0.05))):
        watch.add(parser.parse(batch), str)
    assert len(watch.grouping.findings) == 1
