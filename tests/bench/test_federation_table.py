from pathlib import Path

import numpy as np
import pytest

import bench.scenarios.federation_table as scenario
from bench.data.detection_data import Labelled
from bench.data.one_round import trained_alone
from bench.data.region_cases import CASES, REGIONS, release
from bench.harness import Run, SettingError
from models.base import Windows
from models.training.label_queries import alike


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


def test_windows_of_all_regions_are_joined_in_the_order_of_their_names() -> None:
    case = release(0)
    joined = scenario._joined(case)
    assert isinstance(joined, Labelled)
    assert isinstance(joined.windows, Windows)
    np.testing.assert_array_equal(joined.labels, np.concatenate([case.learn[n].labels for n in sorted(REGIONS)]))


@pytest.mark.parametrize(
    ("labels", "judged", "known"), [("all", True, 600), ("none", False, 0), ("others", True, 0), ("others", False, 600)]
)
def test_who_has_labels(labels: str, judged: bool, known: int, tmp_path: Path) -> None:
    case = release(0)
    start = trained_alone(case.start, tmp_path, detector="event_counts", settings={})
    assert scenario._known_labels(labels, case.learn["ap"], start, tmp_path, judged=judged).sum() == known


def test_ten_answers_label_the_windows_that_are_like_the_ten(tmp_path: Path) -> None:
    case = release(0)
    start = trained_alone(case.start, tmp_path, detector="event_counts", settings={})
    known = scenario._known_labels("ten", case.learn["ap"], start, tmp_path, judged=False)
    first, group = alike(case.learn["ap"].windows)
    assert len(np.unique(group[known])) == scenario.ANSWERS
    assert np.isin(group, group[known]).sum() == known.sum() < len(first)
