from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from models.base import TrainingError, Windows, template_id
from models.detectors.checks import WindowWorkload, fitted
from models.detectors.deeplog import DeepLog, histories
from models.detectors.next_template import NEW_TEMPLATE, numbers
from models.detectors.registry import build
from models.text.embeddings import END

SMALL = {"encoder": "hashing:32", "projection": 16, "hidden": 16, "training": {"epochs": 25, "learning_rate": 0.02}}


@pytest.fixture
def trained(workload: WindowWorkload) -> DeepLog:
    return fitted(lambda: build("deeplog", SMALL, device="cpu"), workload)  # type: ignore[return-value]


def rows_of(workload: WindowWorkload, *texts: str) -> list[int]:
    names = {"open": "session <*> opened", "write": "block <*> written", "close": "session <*> closed"}
    return [template_id(names[t]) for t in texts]


def test_histories_are_never_filled_up_in_front() -> None:
    found = histories(torch.tensor([[2, 7, 8, 9, 3]]), 3)
    assert found.tolist() == [[[2, 0, 0], [2, 7, 0], [2, 7, 8], [7, 8, 9]]]


def test_a_template_unseen_in_training_is_a_large_miss(workload: WindowWorkload, trained: DeepLog) -> None:
    rows = rows_of(workload, "open", "write", "close")
    strange = template_id("disk <*> has vanished")
    trained.learn_templates({strange: "disk <*> has vanished"})
    windows = Windows.of([rows, [*rows[:2], strange, rows[2]]])
    scores = trained.score(windows)
    assert scores[0] < NEW_TEMPLATE / 2
    assert NEW_TEMPLATE < scores[1] <= 1.5 * NEW_TEMPLATE
    assert int(trained.explain(windows.take(np.array([1]))).contributions.argmax()) == 2


@pytest.mark.parametrize("ends", [True, False])
def test_a_window_that_breaks_off_is_missed_where_it_is_closed(workload: WindowWorkload, ends: bool) -> None:
    detector = fitted(lambda: build("deeplog", SMALL | {"ends": ends}, device="cpu"), workload)
    broken = rows_of(workload, "open", "write", "write")
    scores = detector.score(Windows.of([broken, broken], [True, False]))
    assert (scores[0] > scores[1] + 1) == ends


def test_candidates_are_found_by_text_not_by_number(workload: WindowWorkload, trained: DeepLog) -> None:
    table = trained.embeddings.table
    vocabulary = trained.weights()["vocabulary"]
    found = numbers(table, vocabulary)
    assert found[END] == len(vocabulary)
    assert (found[table.lookup(vocabulary)] == np.arange(len(vocabulary))).all()


def test_fit_goes_on_from_loaded_weights(workload: WindowWorkload, trained: DeepLog) -> None:
    still: dict[str, Any] = SMALL | {"training": {"epochs": 1, "learning_rate": 1e-9}}
    other = build("deeplog", still, device="cpu")
    other.load_weights(trained.weights(), trained.extra())
    other.fit(workload.windows.take(np.flatnonzero(~workload.labels)), None, workload.templates)
    np.testing.assert_allclose(other.score(workload.windows), trained.score(workload.windows), atol=1e-3)


@pytest.mark.parametrize("name", ["deeplog", "logbert", "lstm_autoencoder"])
def test_a_line_is_needed(name: str) -> None:
    make: Callable[[], Any] = lambda: build(name, {"encoder": "hashing:32"}, device="cpu")  # noqa: E731
    with pytest.raises(TrainingError, match="at least one window"):
        make().fit(Windows.of([[]]), None, {})
