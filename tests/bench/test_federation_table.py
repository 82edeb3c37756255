import numpy as np
import pytest

import bench.scenarios.federation_table as scenario
from bench.data.detection_data import Labelled
from bench.data.region_cases import CASES, REGIONS, release
from bench.harness import Run, SettingError
from models.base import Windows


def test_a_release_that_one_region_knows_helps_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenario, "CASES", {"release": release})
    found = scenario.federate_table(
        Run(overrides={"cases": "release", "detectors": "event_counts", "labels": "all", "seeds": "1"})
    ).metrics
    row = {way: found[f"release.all.event_counts.{way}.f1"] for way in scenario.WAYS}
    assert row["federated"] > row["local"] > row["static"]
    assert row["federated"] == pytest.approx(row["central"], abs=0.02)
    assert (found["rows"], found["rows_held"]) == (1, 1)
    assert found["gain_over_static"] == pytest.approx(row["federated"] - row["static"])


def test_a_detector_that_needs_labels_has_no_row_without_them() -> None:
    assert not scenario._possible("release", "none", "event_counts_boosted")
    assert scenario._possible("release", "others", "event_counts_boosted")
    assert scenario._possible("release", "none", "event_counts")


def test_an_unknown_case_is_named() -> None:
    with pytest.raises(SettingError, match="thunderbird is not among hdfs"):
        scenario.federate_table(Run(overrides={"cases": "thunderbird"}))


def test_cases_are_drawn_from_their_seed() -> None:
    assert "release" in CASES
    first, again, other = release(0), release(0), release(1)
    assert set(first.learn) == set(first.test) == set(REGIONS)
    np.testing.assert_array_equal(first.learn["eu"].windows.ids, again.learn["eu"].windows.ids)
    assert not np.array_equal(first.learn["eu"].windows.ids, other.learn["eu"].windows.ids)


def test_windows_of_a_region_without_labels_count_as_normal_where_all_are_joined() -> None:
    case = release(0)
    joined = scenario._joined(case, {"ap": False, "eu": True, "us": True})
    counts = [len(case.learn[n].labels) for n in REGIONS]
    assert isinstance(joined, Labelled)
    assert isinstance(joined.windows, Windows)
    assert len(joined.labels) == sum(counts)
    assert not joined.labels[: counts[0]].any()
    assert joined.labels.sum() == case.learn["eu"].labels.sum() + case.learn["us"].labels.sum()
