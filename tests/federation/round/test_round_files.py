"""The round's folder: whole files or none, and nothing believed that is damaged."""

import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from federation.errors import RoundFailedError, StorageError
from federation.protocol.records import HoldoutFigures, ModelSpec
from federation.round import round_files
from federation.round.result import Refusal, RoundResult
from federation.round.round_files import RoundPlan
from federation.round.settings import RoundSettings
from foundation import durable
from models.thresholds.registry import fit_threshold

WEIGHTS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array([3], np.int64)}
RESULT = RoundResult(
    round_id="r1",
    weights=WEIGHTS,
    threshold=0.25,
    accepted=True,
    reason="better in every region",
    figures=(HoldoutFigures("eu", (1, 2, 3, 4), (5, 6, 7, 8)),),
    participants=("eu", "us"),
    refusals=(Refusal("ap", 1, "NaN in w"),),
    missing=("sa",),
    examples=12,
    epsilon=1.5,
)


@pytest.fixture
def plan() -> RoundPlan:
    spec = ModelSpec(name="m", version=3, detector="bert_cnn", settings={"width": 8}, extra={})
    return RoundPlan(round_id="r1", settings=RoundSettings(), spec=spec, threshold=0.5)


def test_the_plan_comes_through_unchanged(tmp_path: Path, plan: RoundPlan) -> None:
    round_files.write_plan(tmp_path / "r1", plan, WEIGHTS)
    read, weights = round_files.read_plan(tmp_path / "r1")
    assert read == plan
    for name, array in WEIGHTS.items():
        assert weights[name].dtype == array.dtype
        np.testing.assert_array_equal(weights[name], array)


def test_the_result_comes_through_unchanged(tmp_path: Path) -> None:
    assert round_files.read_result(tmp_path) is None
    round_files.write_result(tmp_path, RESULT)
    read = round_files.read_result(tmp_path)
    assert read is not None
    np.testing.assert_array_equal(read.weights["w"], WEIGHTS["w"])
    for name in ("round_id", "threshold", "accepted", "reason", "figures", "participants", "refusals", "missing"):
        assert getattr(read, name) == getattr(RESULT, name)
    assert (read.examples, read.epsilon, read.held_out) == (12, 1.5, None)


def test_the_calibration_scores_come_back(tmp_path: Path) -> None:
    fitted = fit_threshold("percentile", np.linspace(0, 1, 400, dtype=np.float32))
    assert fitted.held_out is not None
    round_files.write_result(tmp_path, replace(RESULT, held_out=fitted.held_out))
    read = round_files.read_result(tmp_path)
    assert read is not None
    assert read.held_out == fitted.held_out


def test_a_failure_is_raised_in_its_own_words(tmp_path: Path) -> None:
    round_files.write_failure(tmp_path, "step 1: only 1 of 2 regions are there")
    with pytest.raises(RoundFailedError, match=r"^step 1: only 1 of 2 regions are there$") as failed:
        round_files.read_result(tmp_path)
    assert failed.value.present is None
    round_files.write_failure(tmp_path, "step 1", ["us", "eu"])
    with pytest.raises(RoundFailedError) as failed:
        round_files.read_result(tmp_path)
    assert failed.value.present == ("eu", "us")


@pytest.mark.parametrize("name", [round_files.RESULT, round_files.CANDIDATE, round_files.STEPS])
def test_a_file_that_cannot_be_read_now_is_no_failed_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    round_files.write_result(tmp_path, RESULT)
    round_files.add_step(tmp_path, "hello", {"regions": 3})
    opened = io.open

    def refuse(path: Any, *more: Any, **named: Any) -> Any:
        if str(path).endswith(f"/{name}"):
            raise OSError(5, "Input/output error", str(path))
        return opened(path, *more, **named)

    monkeypatch.setattr(io, "open", refuse)
    with pytest.raises(StorageError, match=r"cannot be read: .*Input/output error"):
        round_files.read_result(tmp_path), round_files.read_steps(tmp_path)


def test_a_folder_that_takes_nothing_is_one_sentence_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: RoundPlan
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (
        lambda: round_files.write_plan(tmp_path, plan, WEIGHTS),
        lambda: round_files.write_result(tmp_path, RESULT),
        lambda: round_files.write_failure(tmp_path, "step 1"),
    ):
        with pytest.raises(StorageError, match=r"cannot be written: .*No space left"):
            write()
    assert list(tmp_path.iterdir()) == []


def test_weights_that_do_not_belong_to_the_result_are_not_believed(tmp_path: Path) -> None:
    round_files.write_result(tmp_path, RESULT)
    path = tmp_path / round_files.CANDIDATE
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(RoundFailedError, match="does not have the checksum"):
        round_files.read_result(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"weights": "x"}', "{}"])
def test_a_damaged_result_is_a_failed_round(tmp_path: Path, content: str) -> None:
    round_files.write_result(tmp_path, RESULT)
    (tmp_path / round_files.RESULT).write_text(content)
    with pytest.raises(RoundFailedError):
        round_files.read_result(tmp_path)


def test_a_missing_or_damaged_plan_is_a_failed_round(tmp_path: Path, plan: RoundPlan) -> None:
    with pytest.raises(RoundFailedError, match="cannot be read"):
        round_files.read_plan(tmp_path)
    round_files.write_plan(tmp_path, plan, WEIGHTS)
    (tmp_path / round_files.PLAN).write_text(json.dumps({"round_id": "r1"}))
    with pytest.raises(RoundFailedError, match="cannot be read"):
        round_files.read_plan(tmp_path)


def test_a_round_that_is_tried_again_does_not_find_the_result_of_the_first_try(tmp_path: Path, plan: RoundPlan) -> None:
    round_files.write_result(tmp_path, RESULT)
    round_files.write_plan(tmp_path, plan, WEIGHTS)
    assert round_files.read_result(tmp_path) is None


def test_nothing_but_whole_files_is_left(tmp_path: Path, plan: RoundPlan) -> None:
    round_files.write_plan(tmp_path, plan, WEIGHTS)
    round_files.write_result(tmp_path, RESULT)
    names = {round_files.PLAN, round_files.CURRENT, round_files.CANDIDATE, round_files.RESULT}
    assert {p.name for p in tmp_path.iterdir()} == names


def test_steps_are_read_as_they_are_done(tmp_path: Path, plan: RoundPlan) -> None:
    assert round_files.read_steps(tmp_path) == ()
    round_files.add_step(tmp_path, "hello", {"regions": 3})
    with (tmp_path / round_files.STEPS).open("a") as file:
        file.write('{"name": "pass", "ti')
    (step,) = round_files.read_steps(tmp_path)
    assert (step.name, step.figures) == ("hello", {"regions": 3})
    round_files.write_plan(tmp_path, plan, WEIGHTS)
    assert round_files.read_steps(tmp_path) == ()


class Killed(BaseException):
    """The process is gone."""


def _rounds(folder: Path, plan: RoundPlan) -> None:
    """Two rounds that are done, a file of another kind, and what a kill left next to a result."""
    for name in ("r1", "r2"):
        round_files.write_plan(folder / name, plan, WEIGHTS)
        round_files.write_result(folder / name, RESULT)
        round_files.add_step(folder / name, "hello", {})
    (folder / "r1" / f"{durable.PARTIAL}4711").write_text("{")
    (folder / "notes").mkdir()
    (folder / "notes" / "why.txt").write_text("asked for")
    (folder / "list.txt").touch()


def test_rounds_that_are_not_known_any_more_go_wherever_the_removal_is_cut_off(
    tmp_path: Path, plan: RoundPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    _rounds(tmp_path / "before", plan)
    removals: list[Path] = []
    cuts = [0]
    for name in ("unlink", "rmdir"):
        real = getattr(Path, name)

        def remove(path: Path, *, real: Any = real, **given: Any) -> None:
            removals.append(path)
            if len(removals) == cuts[-1]:
                raise Killed
            real(path, **given)

        monkeypatch.setattr(Path, name, remove)
    round_files.tidy(shutil.copytree(tmp_path / "before", tmp_path / "whole"), {"r2"})
    for cut in range(1, len(removals) + 1):
        rounds = shutil.copytree(tmp_path / "before", tmp_path / str(cut))
        cuts.append(cut)
        removals.clear()
        with pytest.raises(Killed):
            round_files.tidy(rounds, {"r2"})
        round_files.tidy(rounds, {"r2"})
        assert {str(p.relative_to(rounds)) for p in rounds.rglob("*") if p.is_file()} == {
            "list.txt", "notes/why.txt", f"r2/{round_files.PLAN}", f"r2/{round_files.RESULT}", f"r2/{round_files.STEPS}"
        }  # fmt: skip
        assert not (rounds / "r1").exists()


def test_where_there_was_no_round_yet_there_is_nothing_to_tidy(tmp_path: Path) -> None:
    round_files.tidy(tmp_path / "rounds", set())
    assert list(tmp_path.iterdir()) == []
