"""Cases, judges and peers of the incident benchmark, on the generated backgrounds."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bench.harness import BenchError, Run
from bench.incidents import detectors
from bench.incidents.backgrounds import BACKGROUNDS, background
from bench.incidents.base import DetectorAlert, IncidentCase, IncidentDetector, Watch
from bench.incidents.case import app
from bench.incidents.generated import GENERATORS
from bench.incidents.inject import free_case, make_case
from bench.incidents.judge import judge, summarise
from bench.incidents.kinds import KINDS
from bench.incidents.matrix import Plan, metrics, missed, not_worse, run_plan, table
from bench.incidents.peer_script import Script, request
from bench.incidents.recipes import Repeat, SayingValues, Stop
from bench.incidents.systems_real import (
    APACHE_SYSTEM,
    BGL_SYSTEM,
    HDFS_SYSTEM,
    HEALTHAPP_SYSTEM,
    IOTDB_LEADER,
    OPENSSH_SYSTEM,
    OPENSTACK_SYSTEM,
    SPARK_SYSTEM,
)
from bench.scenarios.incidents import incidents
from tests.support.sweep import sweep

REAL_LINES = {
    "hdfs": (HDFS_SYSTEM, "081109 203530 147 INFO dfs.DataNode$DataXceiver: Receiving block blk_4394112519745907149"),
    "spark": (SPARK_SYSTEM, "17/06/09 20:11:09 INFO python.PythonRunner: Times: total = 39, boot = 12"),
    "iotdb": (IOTDB_LEADER, "2023-10-27 18:21:09,319 [timer7] DEBUG o.a.r.u.TimeoutTimer$Task:54 - run task #55 "),
    "bgl": (
        BGL_SYSTEM,
        "- 1117838570 2005.06.03 R02-M1-N0-C:J12-U11 2005-06-03-15.42.50.675872 R02-M1-N0-C:J12-U11 RAS KERNEL INFO x",
    ),
    "openssh": (OPENSSH_SYSTEM, "Dec  9 06:55:46 LabSZ sshd[24200]: Invalid user webmaster from 173.234.31.186"),
    "apache": (APACHE_SYSTEM, "[Sun Dec 04 04:47:44 2005] [notice] workerEnv.init() ok"),
    "openstack": (
        OPENSTACK_SYSTEM,
        "nova-api.log.1.2017-05-16_13:53:08 2017-05-16 00:00:00.008 25746 INFO nova.osapi_compute.wsgi.server [req] x",
    ),
    "healthapp": (HEALTHAPP_SYSTEM, "20171223-22:15:29:606|Step_LSC|30002312|onStandStepChanged 3579"),
}


@pytest.mark.parametrize("name", REAL_LINES)
def test_a_stamp_reads_what_it_writes(name: str) -> None:
    system, line = REAL_LINES[name]
    time = system.stamp.time(line)
    assert time is not None
    assert system.stamp.move(line, time) == line
    later = system.stamp.move(line, time + 90_061)
    assert later != line
    assert system.stamp.time(later) == pytest.approx(time + 90_061)


@pytest.mark.parametrize("name", REAL_LINES)
def test_a_real_system_describes_or_excuses_every_kind(name: str) -> None:
    system, _ = REAL_LINES[name]
    assert set(system.recipes).isdisjoint(system.missing)
    assert set(system.recipes) | set(system.missing) == set(KINDS)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generated_log_is_the_same_for_the_same_seed(name: str) -> None:
    make = GENERATORS[name]
    first, again, other = (list(make(Random(seed), 400)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 400
    times = [time for time, _ in first]
    assert times == sorted(times)


@settings(max_examples=sweep(20, 60))
@given(
    st.sampled_from([(name, kind) for name in GENERATORS for kind in KINDS]),
    st.integers(0, 2),
    st.integers(0, 4),
    st.integers(0, 3),
)
def test_an_incident_keeps_the_rest_of_the_log(what: tuple[str, str], size: int, place: int, seed: int) -> None:
    name, kind = what
    log = background(name)
    if kind not in log.system.recipes:
        with pytest.raises(BenchError, match=f"{name} has no {kind}"):
            make_case(log, kind, size, place, seed)
        return
    case, free = make_case(log, kind, size, place, seed), free_case(log)
    assert case.now == make_case(log, kind, size, place, seed).now
    assert case.incident.any()
    assert (np.diff(case.times) >= 0).all()
    kept = case.source >= 0
    untouched = kept & ~case.incident
    assert [case.now[row] for row in np.flatnonzero(untouched)] == [free.now[row] for row in case.source[untouched]]
    assert (np.diff(case.source[kept]) > 0).all()
    for row in np.flatnonzero(case.incident & ~kept):
        written = log.system.stamp.time(case.now[row])
        assert written == pytest.approx(case.times[row], abs=1.0)


def test_a_larger_incident_has_more_lines() -> None:
    log = background("service")
    for kind, recipe in log.system.recipes.items():
        sizes = [make_case(log, kind, size, 1, 0) for size in range(3)]
        amounts = [int(case.incident.sum()) for case in sizes]
        assert amounts == sorted(amounts), kind
        if not isinstance(recipe, Stop):
            assert amounts[0] < amounts[2], kind


def test_a_silence_takes_ticks_away_and_marks_the_time_without_them() -> None:
    log = background("syslog")
    case, free = make_case(log, "heartbeat", 0, 2, 0), free_case(log)
    gone = sorted(set(range(len(free.now))) - set(case.source.tolist()))
    assert len(gone) == KINDS["heartbeat"].counts[0]
    assert all("snapshot of /srv" in free.now[row] for row in gone)
    marked = case.times[case.incident]
    assert marked[0] >= free.times[gone[0]]
    assert 0 < marked[-1] - free.times[gone[-1]] <= 600


def test_values_of_one_incident_stay() -> None:
    values = SayingValues(Random(0))
    assert values.fill("{ip_} {ip_}").split(" ")[0] == values.fill("{ip_}")
    assert values.fill("{n} {n} {n}") != values.fill("{n} {n} {n}")
    with pytest.raises(ValueError, match="unknown name 'moon'"):
        values.fill("{moon}")


def _service(kind: str = "new_error") -> IncidentCase:
    return make_case(background("service"), kind, 1, 2, 0)


def test_an_alert_on_the_incident_is_ranked_among_the_others() -> None:
    case = _service()
    first = int(np.argmax(case.incident))
    alerts = [
        DetectorAlert((row,), row + late, strength, "", "x")
        for row, late, strength in ((3, 0, 9), (first, 5, 5), (4, 0, 1))
    ]
    verdict = judge(case, alerts, ())
    assert (verdict.found, verdict.rank, verdict.others, verdict.delay_lines) == (True, 2, 2, 5)
    assert judge(case, alerts[::2], ()).rank is None


def test_an_alert_is_on_the_incident_by_anything_that_it_lists() -> None:
    case = _service()
    first = int(np.argmax(case.incident))
    listed = DetectorAlert((first,), first + 9, 1.0, "cart", "new")
    verdict = judge(case, [DetectorAlert((3,), 3, 2.0, "cache", "too many", (listed,))], ())
    assert (verdict.rank, verdict.others, verdict.delay_lines) == (1, 0, 9)


def test_pointing_everywhere_finds_nothing() -> None:
    case = _service()
    everywhere = DetectorAlert(range(len(case.now)), len(case.now) - 1, 9.0, "", "something")
    assert not judge(case, [everywhere], ()).found


def test_what_is_reported_anyway_is_not_due_to_the_incident() -> None:
    case = _service()
    around = int(np.argmax(case.incident))
    window = range(around - 5, around + 6)
    before = int(case.source[around - 1])
    always = DetectorAlert(range(before - 5, before + 6), before, 1.0, "cache", "too many")
    assert judge(case, [DetectorAlert(window, around, 1.0, "cart", "never seen")], [always]).found
    assert not judge(case, [DetectorAlert(window, around, 1.0, "cache", "too many")], [always]).found
    assert judge(case, [DetectorAlert((around,), around, 1.0, "cache", "this very line")], [always]).found


def test_silence_is_not_found_by_an_alert_that_is_always_there() -> None:
    case = _service("heartbeat")
    row = int(np.flatnonzero(case.incident & (case.source >= 0))[3])
    always = DetectorAlert((int(case.source[row]),), 0, 1.0, "", "always")
    assert judge(case, [DetectorAlert((row,), row, 1.0, "", "silence")], ()).found
    assert not judge(case, [DetectorAlert((row,), 5, 1.0, "", "raised too early")], ()).found
    assert not judge(case, [DetectorAlert((row,), row, 1.0, "", "silence")], [always]).found


class Oracle:
    """Reports every line with `word`, and the first line of all."""

    def __init__(self, word: str) -> None:
        self._word = word

    def learn(self, past: Sequence[str]) -> Watch:
        return self

    def watch(self, now: Sequence[str]) -> list[DetectorAlert]:
        rows = [row for row, line in enumerate(now) if self._word in line]
        return [
            DetectorAlert((0,), 0, 0.5, "", "first"),
            *(DetectorAlert((row,), row, 1.0, self._word, "seen") for row in rows),
        ]


def test_a_plan_is_run_and_tabulated() -> None:
    plan = Plan(["service"], ["new_error", "oom", "http_5xx"], [(0, 0), (2, 4)])
    both: dict[str, IncidentDetector] = {"sees": Oracle("OOMKilled"), "blind": Oracle("not in the log")}
    runs = run_plan(plan, both)
    figures = metrics(runs["sees"])
    assert (figures["found"], figures["rank1"], figures["delay_lines"]) == (
        pytest.approx(1 / 3),
        pytest.approx(1 / 3),
        0,
    )
    assert figures["others_per_10k_daily"] == pytest.approx(
        7 / sum(len(v.case.now) for v in runs["sees"].verdicts) * 1e4
    )
    assert metrics(runs["blind"])["found"] == 0
    tables = {name: table(some) for name, some in runs.items()}
    assert tables["sees"]["service"]["oom"]["found"] == 1
    assert tables["sees"]["all"] == tables["sees"]["service"]
    assert "found" not in tables["sees"]["service"]["none"]
    assert missed(runs["sees"]) == [
        f"service/{kind}/{spot}/0" for kind in ("new_error", "http_5xx") for spot in ("0/0", "2/4")
    ]
    assert not_worse(tables["sees"], tables["blind"]) == {"service": {"found": True, "others": True}}
    assert not_worse(tables["blind"], tables["sees"])["service"]["found"] is False


def test_figures_without_incidents_have_no_share() -> None:
    verdict = judge(free_case(background("access")), [DetectorAlert((0,), 0, 1.0, "", "x")], (), 0.5)
    figures = summarise([verdict])
    assert figures.found is None
    assert figures.others_per_10k == pytest.approx(1e4 / 6000)
    assert figures.cost_s_per_10k == pytest.approx(0.5e4 / 6000)


def test_the_script_finds_new_templates_and_rates() -> None:
    log = background("syslog")
    watch = Script().learn(log.past)
    free = watch.watch(free_case(log).now)
    for kind in ("disk_full", "error_burst"):
        case = make_case(log, kind, 2, 1, 0)
        assert judge(case, watch.watch(case.now), free).rank == 1
    assert watch.watch(free_case(log).now) == free


@pytest.mark.parametrize("name", detectors.DETECTORS)
def test_a_detector_starts_every_case_from_the_past(name: str) -> None:
    log = background("syslog")
    watch = detectors.chosen([name])[name].learn(log.past[:1500])
    case = make_case(log, "crash_loop", 2, 0, 0)
    alerts = watch.watch(case.now[:500])
    watch.watch(case.now[500:1000])
    assert watch.watch(case.now[:500]) == alerts
    for alert in alerts:
        assert list(alert.rows) == sorted(alert.rows)
        assert 0 <= alert.rows[0] <= alert.rows[-1] < 500
        assert alert.rows[0] <= alert.raised < 500
        assert alert.reason


def test_copied_lines_are_more_than_the_log_itself_shows() -> None:
    for name in GENERATORS:
        log = background(name)
        for kind, recipe in log.system.recipes.items():
            if isinstance(recipe, Repeat):
                amount, rows = KINDS[kind].counts[0], len(log.lines) - log.cut
                share = KINDS[kind].share
                span = round(share * rows) if share else round(amount * KINDS[kind].gap)
                known = [bool(recipe.pattern.search(line)) for line in log.past]
                assert np.convolve(known, np.ones(span), "valid").max() < amount, (name, kind)


def test_the_script_knows_requests() -> None:
    line = background("access").past[5]
    assert request(line) is not None
    assert request("a plain line") is None


def test_the_scenario_gives_flat_metrics_and_tables() -> None:
    chosen = {"quick": "true", "backgrounds": "service", "kinds": "oom", "detectors": "script"}
    outcome = incidents(Run(overrides=chosen))
    assert outcome.metrics["script.found"] == outcome.peers["script"]["found"] == 1
    assert outcome.detail["tables"]["script"]["service"]["oom"]["rank1"] == 1
    assert outcome.detail["missing"] == {"service": {}}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(BenchError, match="no background 'moon'"):
        background("moon")
    with pytest.raises(BenchError, match="no kind of incident 'moon'"):
        make_case(background("access"), "moon", 0, 0, 0)
    with pytest.raises(BenchError, match="no detector moon"):
        detectors.chosen(["moon"])


def test_missing_data_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRIFTLINE_DATA_DIR", raising=False)
    with pytest.raises(BenchError, match=r"needs bgl/BGL_first10k.log.xz"):
        BACKGROUNDS["bgl"]("bgl", 0)


def test_a_case_is_written_to_files(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["service", "oom", "--size", "0", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    labels = (tmp_path / "now.labels").read_text().split()
    lines = (tmp_path / "now.log").read_text().splitlines()
    assert len(labels) == len(lines) == 8002
    assert "OOMKilled" in lines[labels.index("1")]
    assert CliRunner().invoke(app, ["access", "oom", "--out", str(tmp_path)]).exit_code == 2
