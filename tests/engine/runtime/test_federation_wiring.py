"""A region's trainer as its node runs it: real, with a store on disk and the region's own word on what it builds."""

import time

import numpy as np
import pytest
from flwr.app import Message

from engine.runtime.federation_wiring import trainer_build
from engine.settings import RegionSettings
from federation.flower.local_grid import LocalGrid
from federation.flower.network import FlowerNetwork
from federation.flower.record_codec import raw_of, unpack
from federation.protocol.records import ModelSpec
from federation.round.round import run_round
from federation.storage.training_store import Label, TrainingStore
from models.detectors.registry import build
from models.storage.store import ModelStore, Notes
from models.thresholds.base import Threshold
from models.training import torch_model
from tests.support.prepared import CountedClock, PreparedRegion, made_set, settings

OWN = "hashing:16"
SMALL = {"projection": 8, "filters": 8, "counts": 4, "mixed": 8, "kernels": (2, 3), "training": {"epochs": 1}}


class NodeGrid(LocalGrid):
    """A grid on which `eu` is answered for by the handler of its trainer's process."""

    def __init__(self, handler):
        super().__init__({name: PreparedRegion(name, step=0.01) for name in ("ap", "eu", "us")})
        self._handler = handler

    def reply(self, region, message):
        if region.region != "eu":
            return super().reply(region, message)
        return Message(unpack(self._handler(message.metadata.message_type, raw_of(message.content))), reply_to=message)


@pytest.fixture
def start(tmp_path):
    """What a round starts from: the current version of the region's own model."""
    detector, seen = build("bert_cnn", {"encoder": OWN, **SMALL}, device="cpu"), made_set(20, 99)
    detector.fit(seen.windows, seen.labels, seen.templates)
    ModelStore(tmp_path / "models").publish("own", detector, Notes(threshold=Threshold(rule="auto", value=0.5)))
    spec = ModelSpec(name="own", version=1, detector="bert_cnn", settings=detector.settings(), extra=detector.extra())
    return spec, detector.weights()


@pytest.fixture
def handler(tmp_path, start):
    """Of `eu`, with windows to learn from."""
    written = {"type": "jsonl", "path": str(tmp_path / "written.jsonl")}
    region = RegionSettings.model_validate(
        {
            "region": "eu", "source": {"type": "file", "paths": ["none.log"]}, "sinks": [written],
            "parse": {"format": "hdfs"}, "window": {"kind": "session", "gap_s": 60}, "dead_letters": written,
            "model": {"store": str(tmp_path / "models"), "name": "own", "device": "cpu"},
            "recovery": {"path": str(tmp_path / "state")}, "training": {"path": str(tmp_path / "training.db")},
        }
    )  # fmt: skip
    own = made_set(60, 1)
    keys = [f"session {i}" for i in range(len(own))]
    with TrainingStore(region.training.path, region.training, now_ns=time.time_ns) as store:
        store.add(
            own.windows, keys=keys, ids=keys, time_ns=np.arange(len(own)) * 1_000_000_000,
            scores=np.zeros(len(own), np.float32), templates=own.templates,
        )  # fmt: skip
        store.label(Label(key, bool(bad), "labels", 0) for key, bad in zip(keys, own.labels, strict=True))
    return trainer_build(region)()


@pytest.fixture
def opened(start, monkeypatch):
    """Names of the encoders that were opened."""
    names, real = [], torch_model.open_encoder
    monkeypatch.setattr(torch_model, "open_encoder", lambda name, device: names.append(name) or real(name, device))
    return names


def ran(handler, start, **changed):
    spec = start[0].model_copy(update={"settings": {**start[0].settings, **changed}})
    return run_round(FlowerNetwork(NodeGrid(handler), CountedClock()), settings(), spec, start[1], 0.5, round_id="r1")


def test_a_region_trains_the_model_that_its_own_engine_follows(handler, start, opened):
    result = ran(handler, start)
    assert result.refusals == ()
    assert result.participants == ("ap", "eu", "us")
    assert opened == [OWN]


@pytest.mark.parametrize("encoder", ["/srv/other/bert", "somebody/bert", "minilm", "hashing:32", [OWN]])
def test_a_round_that_names_another_encoder_is_refused_and_goes_on_without_the_region(handler, start, opened, encoder):
    result = ran(handler, start, encoder=encoder)
    assert [(r.region, r.reason) for r in result.refusals] == [
        ("eu", f"the round asks for the text encoder {encoder!r}; region eu accepts only '{OWN}'")
    ]
    assert result.participants == ("ap", "us")
    assert opened == [], "it is not even looked for"
