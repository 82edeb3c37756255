"""The promises of every privacy mode in the registry; a new mode is checked automatically."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from pydantic import ValidationError

from federation.errors import SetupError
from federation.flower.network import FlowerNetwork
from federation.privacy.registry import MODES, privacy_mode
from federation.protocol import messages
from federation.protocol.messages import RegionClient
from federation.protocol.records import PrivacySettings, TrainTask, Weights
from federation.region.region_policy import PrivacyDemand
from federation.region.trainer import Trainer
from federation.round.result import RoundResult
from federation.round.round import run_round
from federation.round.settings import RoundSettings
from federation.round.strategies import STRATEGIES
from tests.federation.region.test_trainer import started
from tests.support.prepared import SPEC, WEIGHTS, CountedClock, SetStore, made_set, made_store, settings
from tests.support.secure_grid import DrawingRegion, SecureGrid, quiet_flower

EVERY = pytest.mark.parametrize("mode", MODES)
REGIONS = ("ap", "eu", "sa", "us")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_flower():
        yield


class ListeningGrid(SecureGrid):
    """Keeps the replies to training questions."""

    def __init__(self, regions: Mapping[str, RegionClient]) -> None:
        super().__init__(regions)
        self.replies: list[Message] = []

    def reply(self, client: RegionClient, message: Message) -> Message | None:
        reply = super().reply(client, message)
        if reply is not None and message.metadata.message_type.startswith(messages.TRAIN):
            self.replies.append(reply)
        return reply


def run(grid: SecureGrid, mode: str, weights: Weights = WEIGHTS, spec: Any = SPEC, **changes: Any) -> RoundResult:
    given = settings(privacy={"mode": mode, "epsilon": 1e6}, **changes)
    return run_round(FlowerNetwork(grid, CountedClock()), given, spec, weights, 0.4, round_id="r1")


def drawing() -> dict[str, DrawingRegion]:
    return {name: DrawingRegion(name, examples=100 * (n + 3)) for n, name in enumerate(REGIONS)}


@dataclass(frozen=True)
class RealRound:
    """A round of regions that really train."""

    start: Weights
    result: RoundResult
    grid: ListeningGrid
    stores: dict[str, SetStore] = field(default_factory=dict)


@functools.cache
def real_round(mode: str) -> RealRound:
    spec, weights = started("bert_cnn")
    stores = {region: made_store(number) for number, region in enumerate(REGIONS)}
    grid = ListeningGrid({region: Trainer(region, store, device="cpu") for region, store in stores.items()})
    return RealRound(weights, run(grid, mode, weights, spec, local_epochs=2), grid, stores)


@EVERY
def test_its_name_is_accepted_and_described_where_it_is_set(mode: str) -> None:
    assert MODES[mode].name == mode
    assert RoundSettings.model_validate({"privacy": {"mode": mode}}).privacy.mode == mode
    assert mode in str(PrivacySettings.model_fields["mode"].description)


@EVERY
def test_a_round_of_real_trainers_moves_the_weights_and_keeps_their_form(mode: str) -> None:
    with quiet_flower():
        found = real_round(mode)
    assert found.result.participants == REGIONS
    assert (found.result.refusals, found.result.missing) == ((), ())
    assert {n: (a.shape, a.dtype) for n, a in found.result.weights.items()} == {
        n: (a.shape, a.dtype) for n, a in found.start.items()
    }
    assert all(np.isfinite(array).all() for array in found.result.weights.values())
    assert any(not np.array_equal(array, found.start[name]) for name, array in found.result.weights.items())


@EVERY
def test_regions_spend_only_where_the_mode_has_a_budget(mode: str) -> None:
    found = real_round(mode)
    spent = {region: len(store.spent()) for region, store in found.stores.items()}
    assert spent == dict.fromkeys(REGIONS, 2 if MODES[mode].has_budget else 0)
    assert (found.result.epsilon is not None) == MODES[mode].has_budget
    if found.result.epsilon is not None:
        assert 0 < found.result.epsilon < 1e6


@EVERY
def test_facts_about_single_windows_leave_a_region_only_without_protection(mode: str) -> None:
    spec, weights = started("bert_cnn")
    task = TrainTask(round_id="r1", spec=spec, local_epochs=1, privacy=PrivacySettings(mode=mode, epsilon=1e6))
    metrics = Trainer("eu", made_store(1), device="cpu").train(weights, task).metrics
    expected = {"train_s"} | ({"epsilon"} if MODES[mode].has_budget else set())
    assert set(metrics) == expected | ({"loss", "anomalous"} if mode == "none" else set())
    assert all(np.isfinite(value) for value in metrics.values())


@EVERY
def test_a_reply_carries_an_update_only_where_the_coordinator_may_see_it(mode: str) -> None:
    replies = real_round(mode).grid.replies
    assert len(replies) >= 2 * len(REGIONS)
    with_arrays = [any(record.keys() for record in reply.content.array_records.values()) for reply in replies]
    assert set(with_arrays) == {not MODES[mode].hides_updates}


@EVERY
def test_updates_are_combined_to_the_mean_of_the_plain_ones(mode: str) -> None:
    found, plain = run(SecureGrid(drawing()), mode), run(SecureGrid(drawing()), "none")
    assert (found.participants, found.examples) == (plain.participants, plain.examples)
    for name, array in plain.weights.items():
        np.testing.assert_allclose(found.weights[name], array, atol=1e-5)


@EVERY
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_works_or_is_refused_before_any_region_trains(mode: str, strategy: str) -> None:
    regions = drawing()
    if MODES[mode].hides_updates and not STRATEGIES[strategy].is_mean:
        with pytest.raises(SetupError, match=f"{strategy} compares single updates, which {mode} hides; use fedavg"):
            run(SecureGrid(regions), mode, strategy=strategy)
        assert not any(region.tasks for region in regions.values())
    else:
        assert run(SecureGrid(regions), mode, strategy=strategy).participants == REGIONS


@EVERY
def test_the_windows_to_train_on_are_windows_of_the_region_and_the_rest_stays_as_it_was(mode: str) -> None:
    own = made_set(60, 1)
    before = (own.windows.ids.copy(), own.labels.copy())
    prepared = MODES[mode].prepare(own)
    assert 0 < len(prepared) <= len(own)
    pairs = {(tuple(own.windows.row(i)), bool(own.labels[i])) for i in range(len(own))}
    assert {(tuple(prepared.windows.row(i)), bool(prepared.labels[i])) for i in range(len(prepared))} <= pairs
    np.testing.assert_array_equal(own.windows.ids, before[0])
    np.testing.assert_array_equal(own.labels, before[1])


@EVERY
@pytest.mark.parametrize("asked", MODES)
def test_a_region_refuses_rounds_of_modes_that_its_own_does_not_accept(mode: str, asked: str) -> None:
    refusal = PrivacyDemand(require=mode).refusal("eu", PrivacySettings(mode=asked))
    assert (refusal is None) == MODES[mode].accepts(asked)
    assert MODES[mode].accepts(mode)
    assert not MODES[mode].accepts("none") or mode == "none"


@EVERY
def test_a_region_that_requires_it_sends_plain_updates_only_if_the_mode_does(mode: str) -> None:
    assert PrivacyDemand(require=mode).masked_only == MODES[mode].hides_updates


def test_an_unknown_mode_is_refused_with_the_known_ones() -> None:
    reason = "unknown privacy mode 'tee'; known are none, secagg, dp"
    with pytest.raises(SetupError, match=reason):
        privacy_mode("tee")
    with pytest.raises(ValidationError, match=reason):
        RoundSettings.model_validate({"privacy": {"mode": "tee"}})
    with pytest.raises(ValidationError, match=reason):
        PrivacyDemand.model_validate({"require": "tee"})


def test_a_region_that_does_not_know_the_mode_says_so() -> None:
    spec, weights = started("bert_cnn")
    task = TrainTask(round_id="r1", spec=spec, privacy=PrivacySettings(mode="tee"))
    reply = messages.answer(
        Trainer("eu", made_store(1), device="cpu"), messages.TRAIN, messages.train(weights, task).content
    )
    assert "unknown privacy mode 'tee'" in str(reply["config"]["error"])
