import contextlib
import os
import signal
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from bench import harness
from bench.__main__ import app, terminated_in_order
from bench.harness import SCENARIOS, Outcome, Run, Scenario, SettingError, Target, UnknownScenarioError, find_scenario
from bench.report import compare, number

IDS = {
    "parse-hdfs",
    "engine-file-hdfs",
    "engine-kafka-hdfs",
    "latency-kafka-hdfs",
    "score-windows",
    "memory-sessions",
    "detect-hdfs-8020",
}


def tiny(run: Run) -> Outcome:
    lines = run.setting("lines", 10)
    run.progress("counting", lines, lines)
    return Outcome({"lines_per_s": lines, "rss_bytes": 5}, {"peer": {"lines_per_s": 2.5}})


@pytest.fixture
def tiny_scenario(monkeypatch: pytest.MonkeyPatch) -> Scenario:
    scenario = Scenario(
        "tiny",
        "Counts",
        tiny,
        {"lines_per_s": Target(goal=20, floor=5, tolerance=0.1), "rss_bytes": Target(better="lower", tolerance=0.5)},
    )
    monkeypatch.setattr(harness, "TINY", scenario, raising=False)
    monkeypatch.setitem(harness.SCENARIOS, "tiny", "bench.harness:TINY")
    return scenario


def test_ids_are_permanent() -> None:
    assert set(SCENARIOS) >= IDS


@pytest.mark.parametrize("scenario_id", sorted(SCENARIOS))
def test_every_registry_line_names_its_scenario(scenario_id: str) -> None:
    scenario = find_scenario(scenario_id)
    assert scenario.id == scenario_id
    assert callable(scenario.function)


def test_every_registered_detector_is_in_a_scenario() -> None:
    from models.detectors.registry import DETECTORS

    measured = {name for scenario in map(find_scenario, SCENARIOS) for name in scenario.detectors}
    assert set(DETECTORS) <= measured
    assert measured <= set(DETECTORS)


def test_unknown_scenario_lists_the_known() -> None:
    with pytest.raises(UnknownScenarioError, match="parse-hdfs"):
        find_scenario("nope")


def test_settings_are_read_as_the_kind_of_the_default() -> None:
    run = Run(overrides={"a": "1_000", "b": "0.5", "c": "no", "d": "x"})
    assert (run.setting("a", 1), run.setting("b", 1.0), run.setting("c", True), run.setting("d", "")) == (
        1000,
        0.5,
        False,
        "x",
    )
    assert run.setting("other", 7) == 7
    assert run.settings == {"a": 1000, "b": 0.5, "c": False, "d": "x", "other": 7}


@pytest.mark.parametrize(("text", "default"), [("x", 1), ("1.5", 1), ("maybe", True)])
def test_a_wrong_setting_is_one_sentence(text: str, default: int) -> None:
    with pytest.raises(SettingError, match=f"--set k={text}: expected"):
        Run(overrides={"k": text}).setting("k", default)


def test_run_prints_one_object_last_and_writes_it(tiny_scenario: Scenario, tmp_path: Path) -> None:
    path = tmp_path / "results" / "r.json"
    result = CliRunner().invoke(app, ["run", "tiny", "--json", "--set", "lines=12", "--out", str(path)])
    assert result.exit_code == 0, result.output
    document = orjson.loads(result.stdout.splitlines()[-1])
    assert document == orjson.loads(path.read_bytes())
    assert list(document) == ["scenario", "metrics", "peers", "machine", "settings"]
    assert document["metrics"] == {"lines_per_s": 12, "rss_bytes": 5}
    assert document["peers"] == {"peer": {"lines_per_s": 2.5}}
    assert document["settings"] == {"processes": 1, "lines": 12}
    assert {"cpu", "cores", "memory_bytes", "python", "libraries", "load_1min"} <= document["machine"].keys()


def test_machine_notes_name_no_host_and_no_path(tiny_scenario: Scenario) -> None:
    import platform

    notes = orjson.dumps(harness.describe_machine()).decode()
    assert platform.node() not in notes or len(platform.node()) < 3
    assert "/home" not in notes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nope"], "no scenario 'nope'"),
        (["run", "tiny", "--set", "lines"], "expected key=value"),
        (["run", "tiny", "--set", "lines=x"], "expected int"),
        (["run", "tiny", "--set", "colour=red"], "tiny has no setting colour"),
        (["run", "tiny", "--processes", "2"], "--processes has no meaning"),
        (["compare", "missing.json", "missing.json"], "cannot be read"),
    ],
)
def test_wrong_use_is_one_sentence(tiny_scenario: Scenario, arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def write(path: Path, **metrics: float) -> str:
    path.write_bytes(orjson.dumps({"scenario": "tiny", "metrics": metrics, "machine": {"cpu": "c"}}))
    return str(path)


@pytest.mark.parametrize(
    ("lines_per_s", "rss_bytes", "exit_code"),
    [(100, 100, 0), (91, 149, 0), (89, 100, 1), (100, 151, 1), (500, 10, 0)],
)
def test_compare_fails_only_past_the_tolerance(
    tiny_scenario: Scenario, tmp_path: Path, lines_per_s: float, rss_bytes: float, exit_code: int
) -> None:
    before = write(tmp_path / "a.json", lines_per_s=100, rss_bytes=100)
    after = write(tmp_path / "b.json", lines_per_s=lines_per_s, rss_bytes=rss_bytes)
    result = CliRunner().invoke(app, ["compare", before, after])
    assert result.exit_code == exit_code, result.output
    assert f"{lines_per_s / 100:.3f}" in result.output


def test_a_metric_that_vanished_is_a_regression(tiny_scenario: Scenario) -> None:
    changes = compare(
        {"scenario": "tiny", "metrics": {"lines_per_s": 1, "note": 1}}, {"scenario": "tiny", "metrics": {}}
    )
    assert {c.metric: c.regressed for c in changes} == {"lines_per_s": True, "note": False}


def test_list_shows_every_scenario() -> None:
    result = CliRunner().invoke(app, ["list"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert all(scenario_id[:10] in result.output for scenario_id in IDS)


def test_numbers_for_people() -> None:
    assert [number(v) for v in (1234567.8, 0.99991, 12, None, 15.25)] == ["1,234,568", "0.9999", "12", "", "15.25"]


def test_a_run_that_is_terminated_ends_what_it_has_started() -> None:
    before, ended = signal.getsignal(signal.SIGTERM), []

    def terminated() -> None:
        with terminated_in_order(), contextlib.ExitStack() as programs:
            programs.callback(ended.append, "a program")
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as raised:
        terminated()
    assert (raised.value.code, ended) == (143, ["a program"])
    assert signal.getsignal(signal.SIGTERM) is before
