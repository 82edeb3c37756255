import numpy as np
import pytest

from bench.data import one_round
from bench.data.one_round import ServedModel, after_round
from federation.errors import RoundFailedError
from federation.protocol.records import ModelSpec
from federation.round.result import RegionVerdict, RoundResult, Standing
from federation.round.settings import RoundSettings

START = ServedModel(ModelSpec(name="m", version=1, detector="bert_cnn", settings={}, extra={}), {}, 0.5)
CANDIDATE = {"w": np.ones(1)}
SETTINGS = RoundSettings.model_validate({})


def result(*, accepted: bool, others_adopt: bool) -> RoundResult:
    verdicts = (
        RegionVerdict("eu", Standing.GAINS, accepted, 0.5, 0.9, 40),
        RegionVerdict("us", Standing.LOSES, False, 0.9, 0.5, 40),
    )
    return RoundResult(
        "r", CANDIDATE, 0.7, accepted, "", (), ("eu", "us"), verdicts=verdicts, others_adopt=others_adopt
    )


def served(found: RoundResult | Exception, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    def run_round(*_: object, **__: object) -> RoundResult:
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(one_round, "run_round", run_round)
    after = after_round(START, dict.fromkeys(("ap", "eu", "us")), SETTINGS)  # type: ignore[arg-type]
    return {region: model.threshold for region, model in after.items()}


def test_a_region_that_loses_keeps_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    found = served(result(accepted=True, others_adopt=True), monkeypatch)
    assert found == {"ap": 0.7, "eu": 0.7, "us": 0.5}


def test_a_region_that_did_not_judge_follows_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert served(result(accepted=True, others_adopt=False), monkeypatch) == {"ap": 0.5, "eu": 0.7, "us": 0.5}


def test_nobody_takes_a_candidate_that_is_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(served(result(accepted=False, others_adopt=True), monkeypatch).values()) == {0.5}
    assert set(served(RoundFailedError("too few"), monkeypatch).values()) == {0.5}
