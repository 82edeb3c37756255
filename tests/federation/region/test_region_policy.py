"""A region's own word on privacy and on text encoders is kept, whatever the coordinator asks for."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from federation.flower.local_grid import LocalGrid
from federation.flower.network import FlowerNetwork
from federation.protocol import messages
from federation.protocol.records import ModelSpec, PrivacySettings
from federation.region.region_policy import AllowedModels, PrivacyDemand
from federation.round.round import run_round
from federation.round.settings import RoundSettings
from models.storage.model_cards import Card
from models.storage.store import ModelStore, Notes
from models.thresholds.base import Threshold
from tests.support.prepared import SPEC, WEIGHTS, PreparedRegion, settings

CEILING = {"require": "dp", "max_epsilon": 4.0, "max_delta": 1e-5}
CASES: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    ({}, {"mode": "none"}, None),
    ({"require": "secagg"}, {"mode": "secagg"}, None),
    ({"require": "dp"}, {"mode": "dp", "epsilon": 1e9}, None),
    (CEILING, {"mode": "dp", "epsilon": 4.0, "delta": 1e-5}, None),
    ({"require": "dp"}, {"mode": "none"}, "region eu accepts only privacy.mode = dp; this round has none"),
    ({"require": "secagg"}, {"mode": "dp"}, "only privacy.mode = secagg; this round has dp"),
    (CEILING, {"mode": "secagg"}, "only privacy.mode = dp; this round has secagg"),
    (CEILING, {"mode": "dp"}, "the round asks for privacy.epsilon = 8; region eu allows at most 4"),
    (CEILING, {"mode": "dp", "epsilon": 1.0, "delta": 0.5}, "privacy.delta = 0.5; region eu allows at most 1e-05"),
]  # fmt: skip


@pytest.mark.parametrize(("demand", "asked", "sentence"), CASES)
def test_what_a_round_asks_for_is_held_against_the_demand(
    demand: dict[str, Any], asked: dict[str, Any], sentence: str | None
) -> None:
    found = PrivacyDemand.model_validate(demand).refusal("eu", PrivacySettings.model_validate(asked))
    assert found is None if sentence is None else sentence in str(found)


@pytest.mark.parametrize("require", ["none", "secagg"])
def test_a_ceiling_that_a_round_without_noise_would_pass_below_is_refused(require: str) -> None:
    with pytest.raises(ValidationError, match='need require = "dp"'):
        PrivacyDemand.model_validate({"require": require, "max_epsilon": 4.0})


@pytest.mark.parametrize("half", [{"max_epsilon": 4.0}, {"max_delta": 1e-5}])
def test_half_a_ceiling_is_refused(half: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="set max_epsilon and max_delta together"):
        PrivacyDemand.model_validate({"require": "dp", **half})


class DemandingGrid(LocalGrid):
    """A grid in which one region answers every question with its refusal."""

    def __init__(self, demand: PrivacyDemand) -> None:
        super().__init__({name: PreparedRegion(name) for name in ("ap", "eu", "us")})
        self._demand = demand

    def pull_messages(self, message_ids: Any) -> Any:
        replies = list(super().pull_messages(message_ids))
        for reply in replies:
            if messages.region_of(reply.content) == "eu":
                sentence = self._demand.refusal("eu", RoundSettings.model_validate({}).privacy)
                reply.content = messages.failure("eu", str(sentence))
        return replies


def test_a_round_names_the_region_that_refused_and_goes_on_without_it() -> None:
    grid = DemandingGrid(PrivacyDemand.model_validate(CEILING))
    result = run_round(FlowerNetwork(grid), settings(), SPEC, WEIGHTS, 0.4, round_id="r1")
    assert result.participants == ("ap", "us")
    assert [(r.region, r.reason) for r in result.refusals] == [
        ("eu", "region eu accepts only privacy.mode = dp; this round has none")
    ]


def published(store: Path, name: str, encoder: str | None, detector: str = "any") -> tuple[str, str]:
    """A model of the region; where it is there already, another version that is current from now on."""
    notes = Notes(threshold=Threshold(rule="auto", value=0.5))
    card = Card(
        **notes.model_dump(), name=name, version=1, parent=None, created_at=datetime.now(UTC), detector=detector,
        settings={} if encoder is None else {"encoder": encoder}, extra={}, weights_sha256="",
    )  # fmt: skip
    ModelStore(store).publish_weights(card, WEIGHTS, notes)
    return str(store), name


def naming(encoder: Any) -> ModelSpec:
    return SPEC.model_copy(update={"settings": {} if encoder is None else {"encoder": encoder}})


def test_encoders_are_those_of_the_regions_own_models_whatever_becomes_of_their_store(tmp_path: Path) -> None:
    models = [published(tmp_path, "m", "hashing:16"), published(tmp_path, "lines", "hashing:24"), (str(tmp_path), "no")]
    own = AllowedModels(models, ["/srv/bert"])
    assert [own.refusal("eu", naming(name)) for name in (None, "/srv/bert", "hashing:16", "hashing:24")] == [None] * 4
    assert own.refusal("eu", naming("hashing:32")) == (
        "the round asks for the text encoder 'hashing:32'; region eu accepts only '/srv/bert' and "
        "'hashing:16' and 'hashing:24'"
    )
    published(tmp_path, "m", "hashing:32")
    assert own.refusal("eu", naming("hashing:32")) is None
    shutil.rmtree(tmp_path / "m")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "current").write_text("no JSON")
    assert own.refusal("eu", naming("hashing:16")) is None
    assert "cannot check whether the text encoder 'x' is that of its own model" in str(own.refusal("eu", naming("x")))


def test_a_region_without_an_encoder_of_its_own_takes_none(tmp_path: Path) -> None:
    own = AllowedModels([published(tmp_path, "floor", None)])
    assert own.refusal("eu", naming(None)) is None
    assert str(own.refusal("eu", naming("x"))).endswith("'x'; region eu has no model with an encoder")


def test_a_region_sends_statistics_for_a_detector_of_its_own_only(tmp_path: Path) -> None:
    counts = SPEC.model_copy(update={"detector": "event_counts"})
    other = AllowedModels([published(tmp_path, "m", None)])
    assert other.refusal("eu", counts) == (
        "the round asks for statistics for event_counts; region eu sends them only for a detector that it serves"
    )
    assert AllowedModels([published(tmp_path, "floor", None, "event_counts")]).refusal("eu", counts) is None
    assert other.refusal("eu", SPEC) is None
