import contextlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import BudgetSpentError, MalformedError, RegionFailedError
from federation.protocol import messages
from federation.protocol.arrays import from_record, to_record
from federation.protocol.records import ScoreSketch, TrainTask, Update, Weights
from tests.support.prepared import SPEC, WEIGHTS, PreparedRegion

TASK = TrainTask(round_id="r1", spec=SPEC, number=3, proximal_mu=0.25, traceparent="00-ab-cd-01")


def replied(question: messages.Question, region: messages.RegionClient | None = None) -> RecordDict:
    return messages.answer(region or PreparedRegion("eu"), question.kind, question.content)


def test_the_task_reaches_the_region_as_it_was() -> None:
    region = PreparedRegion("eu")
    replied(messages.train(WEIGHTS, TASK), region)
    assert region.tasks == [TASK]


def test_hello_gives_the_name() -> None:
    assert messages.region_of(replied(messages.hello(TASK))) == "eu"


def test_an_update_keeps_names_shapes_dtypes_and_values() -> None:
    update = messages.read_update("eu", replied(messages.train(WEIGHTS, TASK)))
    assert (update.region, update.examples, update.metrics) == ("eu", 100, {"loss": 0.5})
    for name, array in WEIGHTS.items():
        assert update.weights[name].dtype == array.dtype
        np.testing.assert_array_equal(update.weights[name], array + 1 if name != "ids" else array)


def test_scores_and_holdout_counts_come_back() -> None:
    sketch = messages.read_sketch("eu", replied(messages.calibrate(WEIGHTS, TASK)))
    np.testing.assert_array_equal(sketch.normal, np.array([0.1, 0.2], np.float32))
    assert (sketch.normal_count, sketch.anomalous_count) == (2, 1)
    region = PreparedRegion("eu")
    figures = messages.read_figures("eu", replied(messages.evaluate(WEIGHTS, WEIGHTS, TASK, (0.7, 0.5)), region))
    assert (figures.current, figures.candidate) == (region.current, region.candidate)
    assert region.thresholds == (0.7, 0.5)


@dataclass
class SpentRegion(PreparedRegion):
    def train(self, weights: Weights, task: TrainTask) -> Update:
        raise BudgetSpentError("eu has spent epsilon 8.1 of 8")

    def calibrate(self, weights: Weights, task: TrainTask) -> ScoreSketch:
        raise ZeroDivisionError


def test_an_error_on_purpose_becomes_a_sentence_and_a_bug_stays_one() -> None:
    with pytest.raises(RegionFailedError, match="eu has spent epsilon"):
        messages.raise_failure(replied(messages.train(WEIGHTS, TASK), SpentRegion("eu")))
    with pytest.raises(ZeroDivisionError):
        replied(messages.calibrate(WEIGHTS, TASK), SpentRegion("eu"))


def test_a_question_that_cannot_be_read_is_answered_with_a_sentence() -> None:
    for content in (RecordDict({}), RecordDict({"config": ConfigRecord({"task": "{}"})})):
        with pytest.raises(RegionFailedError, match="carries no valid task"):
            messages.raise_failure(messages.answer(PreparedRegion("eu"), messages.TRAIN, content))
    with pytest.raises(RegionFailedError, match=r"unknown question 'query\.other'"):
        messages.raise_failure(
            messages.answer(PreparedRegion("eu"), "query.other", messages.train(WEIGHTS, TASK).content)
        )


def packed(data: bytes) -> ArrayRecord:
    return ArrayRecord({"safetensors": Array(dtype="uint8", shape=(len(data),), stype="safetensors", data=data)})


def written(header: object, values: bytes = bytes(36)) -> bytes:
    """Bytes in the layout of safetensors, with any header."""
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + values


def described(shape: tuple[int, ...] = (9,), dtype: str = "F32", end: int = 36) -> dict[str, Any]:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}


WHOLE = written(described())
DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "damaged"),
    "garbage": (b"\x80\x04pickle", "damaged"),
    "truncated": (WHOLE[:-3], "damaged"),
    "too long": (WHOLE + b"x", "damaged"),
    "another shape inside": (written(described((3, 4))), "damaged"),
    "another dtype inside": (written(described(dtype="F64")), "damaged"),
    "terabytes": (written(described((9 * 10**12,), end=36 * 10**12)), "damaged"),
    "header that does not end": ((10**9).to_bytes(8, "little") + WHOLE[8:], "damaged"),
    "header that is a list": (written([1, 2]), "damaged"),
    "objects": (written(described(dtype="O")), "damaged"),
    "a dtype that numpy has not": (written(described((18,), dtype="BF16")), "damaged"),
    "too many dimensions": (written(described((1,) * 65), bytes(4)), "damaged"),
    "many dimensions": (written(described((1,) * 17, end=4), bytes(4)), "'a' has 17 dimensions"),
    "a shape that no memory has": (written(described((0, 2**62, 2**62), end=0), b""), "damaged"),
    "negative shape": (written(described((-9,))), "damaged"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_arrays_are_refused_before_memory_is_taken_for_them(name: str) -> None:
    data, sentence = DAMAGED[name]
    content = RecordDict({"weights": packed(data), "metrics": MetricRecord({"examples": 4})})
    with pytest.raises(MalformedError, match=f"array.* {sentence}"):
        messages.read_update("eu", content)


def test_what_is_whole_is_read() -> None:
    found = from_record(RecordDict({"weights": packed(WHOLE)}), "weights")
    assert (found["a"].dtype, found["a"].shape) == (np.float32, (9,))


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    for given_bytes in (data, WHOLE[: len(data)] + data):
        with contextlib.suppress(MalformedError):
            from_record(RecordDict({"weights": packed(given_bytes)}), "weights")


def test_arrays_by_name_without_their_packing_are_none() -> None:
    content = RecordDict({"weights": ArrayRecord({"a": Array(np.zeros(9, np.float32))})})
    with pytest.raises(MalformedError, match="no arrays under 'weights'"):
        from_record(content, "weights")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_arrays_of_numbers_come_through(dtype: str, shape: tuple[int, ...]) -> None:
    sent = np.asfortranarray(np.ones(shape, dtype))
    found = from_record(RecordDict({"weights": to_record({"a": sent})}), "weights")["a"]
    assert (found.dtype, found.shape) == (sent.dtype, sent.shape)
    np.testing.assert_array_equal(found, sent)


GOOD_WEIGHTS = to_record({"a": np.zeros(2, np.float32)})
UNREADABLE: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "no figures under 'metrics'"),
    "no arrays": ({"metrics": MetricRecord({"examples": 4})}, "no arrays under 'weights'"),
    "count not whole": (
        {"metrics": MetricRecord({"examples": 4.5}), "weights": GOOD_WEIGHTS},
        "count 'examples' is 4.5",
    ),
    "list for a figure": ({"metrics": MetricRecord({"examples": 4, "loss": [0.1]})}, "metric 'loss' is not a number"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_reply_that_is_no_update_is_malformed(name: str) -> None:
    records, sentence = UNREADABLE[name]
    with pytest.raises(MalformedError, match=sentence):
        messages.read_update("eu", RecordDict(records))


@pytest.mark.parametrize("cells", [[1, 2, 3], [1, 2, 3, -4], [1.5, 2.0, 3.0, 4.0]])
def test_counts_of_the_holdout_are_a_matrix_and_not_negative(cells: list[Any]) -> None:
    record = MetricRecord({"current": [1, 2, 3, 4], "candidate": cells})
    with pytest.raises(MalformedError, match="not the counts of a confusion matrix"):
        messages.read_figures("eu", RecordDict({"figures": record}))


def test_a_reply_without_a_name_or_scores_is_malformed() -> None:
    with pytest.raises(MalformedError, match="names no region"):
        messages.region_of(RecordDict({}))
    scores = to_record({"normal": np.zeros(1, np.float32)})
    with pytest.raises(MalformedError, match="scores of the anomalous windows are missing"):
        messages.read_sketch("eu", RecordDict({"scores": scores, "metrics": MetricRecord({"normal": 1})}))


def test_messages_need_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, federation.protocol.messages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
