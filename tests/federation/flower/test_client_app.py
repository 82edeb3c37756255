"""The thin client: no torch, bytes to the trainer and back, errors as errors."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message import make_message

from federation.errors import RegionFailedError, TrainerError
from federation.flower.client_app import app
from federation.flower.record_codec import MAX_PACKED_BYTES, pack, packed, unpack, unpacked, wrap
from federation.protocol.messages import CALIBRATE, EVALUATE, HELLO, TEMPLATES, TRAIN, raise_failure, region_of
from federation.region.trainer_process import TrainerServer
from tests.support import handlers


def _message(content: RecordDict, ttl: float = 200.0, kind: str = TRAIN) -> Message:
    metadata = Metadata(
        run_id=1, message_id="m1", src_node_id=0, dst_node_id=7, reply_to_message_id="", group_id="",
        created_at=time.time(), ttl=ttl, message_type=kind,
    )  # fmt: skip
    return make_message(metadata, content)


def _context(socket: Path) -> Context:
    node = {"region": "eu", "socket": str(socket), "limit_s": 100.0}
    return Context(run_id=1, node_id=7, node_config=node, state=RecordDict(), run_config={})  # type: ignore[arg-type]


@pytest.fixture
def records() -> RecordDict:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(3, np.int64)}
    fields: dict[str, str | bytes | int | list[float]] = {
        "region": "eu",
        "raw": b"\x00\xff",
        "n": 2,
        "list": [1.0, 2.0],
    }
    array_record = ArrayRecord({name: Array(a) for name, a in arrays.items()})
    return RecordDict({"w": array_record, "c": ConfigRecord(fields), "m": MetricRecord({"loss": 0.5})})  # type: ignore[arg-type]


def test_neither_client_nor_executor_loads_torch_or_the_models() -> None:
    code = "import sys, federation.flower.client_app, federation.flower.executor; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {"torch", "transformers", "sklearn", "scipy", "models.detectors.torch_detector", "ray"}


def test_records_come_through_the_bytes_unchanged(records: RecordDict) -> None:
    back = unpack(pack(records))
    assert back == records
    np.testing.assert_array_equal(back.array_records["w"]["a"].numpy(), records.array_records["w"]["a"].numpy())


def test_bytes_that_are_no_records_are_refused() -> None:
    with pytest.raises(TrainerError, match="are not Flower records"):
        unpack(b"\xff\xff\xff")


@pytest.mark.process
def test_the_reply_is_what_the_trainer_answers(tmp_path: Path, records: RecordDict) -> None:
    with TrainerServer(tmp_path / "t.sock", handlers.echo, limit_s=100, nice=0):
        reply = app(_message(records), _context(tmp_path / "t.sock"))
    assert unpacked(reply.content) == records
    assert reply.metadata.reply_to_message_id == "m1"


@pytest.mark.parametrize("kind", [HELLO, TEMPLATES, TRAIN, CALIBRATE, EVALUATE])
def test_without_a_trainer_every_question_fails_with_a_sentence(tmp_path: Path, records: RecordDict, kind: str) -> None:
    with pytest.raises(TrainerError, match="no trainer listens on"):
        app(_message(records, kind=kind), _context(tmp_path / "t.sock"))


def test_a_job_nobody_waits_for_is_not_started(tmp_path: Path, records: RecordDict) -> None:
    with pytest.raises(TrainerError, match="came too late"):
        app(_message(records, ttl=1.0), _context(tmp_path / "t.sock"))


@pytest.mark.process
def test_a_region_that_demands_masks_gives_no_plain_update(tmp_path: Path, records: RecordDict) -> None:
    context = _context(tmp_path / "t.sock")
    context.node_config["masked_only"] = True
    with TrainerServer(tmp_path / "t.sock", handlers.echo, limit_s=100, nice=0):
        reply = app(_message(records), context)
        with pytest.raises(RegionFailedError, match="this region sends masked updates only"):
            raise_failure(reply.content)
        assert region_of(reply.content) == "eu"
        context.node_config["masked_only"] = False
        assert unpacked(app(_message(records), context).content) == records


def test_small_records_travel_as_one_and_large_ones_as_they_are(records: RecordDict) -> None:
    small = packed(records)
    assert len(small) == 1
    assert unpacked(small) == records
    large = RecordDict({"w": ArrayRecord({"a": Array(np.zeros(MAX_PACKED_BYTES, np.uint8))})})
    assert packed(large) is large
    assert unpacked(large) is large
    assert unpacked(wrap(pack(large))) == large


def test_packed_bytes_that_are_no_records_are_refused() -> None:
    with pytest.raises(TrainerError, match="are not Flower records"):
        unpacked(wrap(b"\xff\xff\xff"))
