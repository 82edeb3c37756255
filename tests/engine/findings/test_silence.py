"""Lines that stop: a heartbeat is judged by the ticks that it misses in a row."""

import datetime as dt
import random

import pytest

from engine.findings.finder import Finder
from engine.steps.parse import Parser, ParseSettings
from tests.engine.findings.lines import START, batches


def beating(missing=range(0), *, pause_s=0, minutes=200):
    """A tick a minute, some of them minutes late, between other lines that come six a minute.

    Args:
        missing: Minutes without a tick.
        pause_s: Length of a pause of the whole log at minute 150.
        minutes: Length of the log.
    """
    rng, times = random.Random(0), []
    for minute in range(minutes):
        late = rng.uniform(40, 150) if minute % 23 == 22 else rng.uniform(0, 1)
        shift = pause_s if minute >= 150 else 0
        if minute not in missing:
            times.append((60 * minute + late + shift, "ticker[7]: tick"))
        times += [(60 * minute + 60 * rng.random() + shift, f"app[17]: page {i} served") for i in range(6)]
    for second, text in sorted(times):
        yield f"{START + dt.timedelta(seconds=second):%b %e %H:%M:%S} web-1 {text}".encode()


def surprise_of(lines):
    """The greatest surprise about the tick from minute 120 on, when it is known how late it may be."""
    finder, parser = Finder(), Parser(ParseSettings(format="syslog"), lambda partition, position: "")
    judged = [j for batch in batches(list(lines)) for j in finder.add(parser.parse(batch))]
    signals = [s for j in [*judged, *finder.finish()] for s in j.signals if s.detector == "silence"]
    known = [s for s in signals if s.last >= 120 * 7 and "tick" in finder.reader.table.all[s.key].text]
    return max((s.surprise for s in known), default=0.0)


@pytest.mark.parametrize(("ticks", "least", "most"), [(0, 0.0, 4.0), (6, 5.0, 20.0), (12, 10.0, 60.0)])
def test_every_tick_missed_in_a_row_is_as_unlikely_as_the_one_before(ticks, least, most):
    assert least <= surprise_of(beating(range(150, 150 + ticks))) <= most


def test_a_pause_of_the_whole_log_is_no_silence():
    assert surprise_of(beating(pause_s=3600)) < 4.0
