"""Replies that are made to cost the coordinator something: memory, disk, or what others read of the round."""

import json
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict

from federation.errors import SetupError
from federation.flower.local_grid import LocalGrid
from federation.flower.network import FlowerNetwork
from federation.protocol.arrays import from_record, to_record
from federation.protocol.messages import EVALUATE, HELLO, TRAIN, RegionClient
from federation.protocol.region_name import REGION_NAME, require_region_name
from federation.round.fleet import MAX_REASON_CHARACTERS, SPARE_BYTES
from federation.round.result import RoundResult
from federation.round.round import run_round
from tests.support.prepared import SPEC, WEIGHTS, CountedClock, PreparedRegion, settings

Spoil = Callable[[RecordDict], RecordDict]


class SpoilingGrid(LocalGrid):
    """`us` spoils its replies to questions of one kind."""

    def __init__(self, kind: str, spoil: Spoil) -> None:
        super().__init__({name: PreparedRegion(name) for name in ("ap", "eu", "us")})
        self._kind = kind
        self._spoil = spoil

    def reply(self, region: RegionClient, message: Message) -> Message | None:
        reply = super().reply(region, message)
        if reply is None or region.region != "us" or message.metadata.message_type != self._kind:
            return reply
        return Message(self._spoil(reply.content), reply_to=message)


def run(grid: LocalGrid) -> RoundResult:
    return run_round(FlowerNetwork(grid, CountedClock()), settings(passes=1), SPEC, WEIGHTS, 0.4, round_id="r1")


def with_arrays(count: int) -> Spoil:
    """As many bytes next to those that were asked for, under a name of their own."""

    def spoil(content: RecordDict) -> RecordDict:
        more = to_record({"a": np.zeros(count, np.uint8)})
        return RecordDict({**dict(content), "more": more})

    return spoil


def with_figures(count: int) -> Spoil:
    def spoil(content: RecordDict) -> RecordDict:
        figures = MetricRecord({"examples": 100, **{f"figure {i}": 0.5 for i in range(count)}})
        return RecordDict({**dict(content), "metrics": figures})

    return spoil


@pytest.mark.parametrize("kind", [TRAIN, EVALUATE])
def test_a_reply_with_more_arrays_than_were_asked_for_is_not_read(kind: str) -> None:
    assert run(SpoilingGrid(kind, with_arrays(1000))).refusals == ()
    result = run(SpoilingGrid(kind, with_arrays(SPARE_BYTES + 4096)))
    (refusal,) = result.refusals
    assert refusal.region == "us"
    assert "the arrays of its reply take" in refusal.reason
    assert [f.region for f in result.figures] == ["ap", "eu"]


def test_a_reply_with_a_flood_of_figures_is_not_read() -> None:
    assert run(SpoilingGrid(TRAIN, with_figures(32))).refusals == ()
    result = run(SpoilingGrid(TRAIN, with_figures(33)))
    assert [(r.region, r.reason) for r in result.refusals] == [("us", "it has 33 metrics, more than 32")]


def said(sentence: str) -> Spoil:
    return lambda content: RecordDict({"config": ConfigRecord({"region": "us", "error": sentence})})


def named(name: str) -> Spoil:
    return lambda content: RecordDict({"config": ConfigRecord({"region": name})})


def with_a_long_array_name(content: RecordDict) -> RecordDict:
    weights = {**from_record(content, "weights"), "x" * 5000: np.zeros(1, np.float32)}
    return RecordDict({**dict(content), "weights": to_record(weights)})


class Failing(LocalGrid):
    """The app of `us` fails with a very long message."""

    def reply(self, region: RegionClient, message: Message) -> Message | None:
        if region.region == "us" and message.metadata.message_type == TRAIN:
            return Message(Error(6, "y" * 5000), reply_to=message)
        return super().reply(region, message)


@pytest.mark.parametrize(
    "grid",
    [
        SpoilingGrid(TRAIN, said("z" * 5000)),
        SpoilingGrid(HELLO, said("z" * 5000)),
        SpoilingGrid(TRAIN, with_a_long_array_name),
        SpoilingGrid(TRAIN, named("us" * 5000)),
        SpoilingGrid(HELLO, named("us" * 5000)),
        Failing({name: PreparedRegion(name) for name in ("ap", "eu", "us")}),
    ],
)
def test_no_region_fills_the_record_with_its_words(grid: LocalGrid) -> None:
    result = run(grid)
    assert len(result.refusals) == 1
    assert 0 < len(result.refusals[0].reason) <= MAX_REASON_CHARACTERS
    encoded = json.dumps({**asdict(result), "weights": None, "held_out": None})
    assert len(encoded) < MAX_REASON_CHARACTERS + 3000


@pytest.mark.parametrize("name", ["us", "eu-west.1_a", "9", "a" * 64])
def test_names_of_regions(name: str) -> None:
    require_region_name(name)
    assert REGION_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "a b", "us\n", "../us", ".us", "-us", "[red]us", "us\u202e", "a" * 65])
def test_what_is_no_name_of_a_region_takes_no_part(name: str) -> None:
    with pytest.raises(SetupError, match="a region's name should have"):
        require_region_name(name)
    result = run(SpoilingGrid(HELLO, named(name)))
    assert result.participants == ("ap", "eu")
    assert [(r.region, r.reason) for r in result.refusals] == [("node 3", "the reply names no region")]
