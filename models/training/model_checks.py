"""The promises of any model, one function each: how it is trained, saved and loaded, independent of its input.

`models.detectors.checks` and `models.classify.checks` each run them on their own contract's models, next to the
promises that only their contract makes. A promise takes a `Subject` and raises AssertionError where
it is broken.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.base import Model, ModelStoreError, NotTrainedError

M = TypeVar("M", bound=Model)
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Subject(Generic[M]):
    """A model under test, with a workload that it can use.

    Attributes:
        make: The model without weights, each time another.
        fitted: One trained on the workload with this seed.
        output: What it states of the whole workload.
        explain: Why.
        build: By name and settings, as its registry does.
        learns: False where it works without having been fitted.
    """

    make: Callable[[], M]
    fitted: Callable[[int], M]
    output: Callable[[M], NDArray[np.float32]]
    explain: Callable[[M], object]
    build: Callable[[str, dict[str, Any]], M]
    learns: bool = True


def check_untrained_is_refused(subject: Subject[M]) -> None:
    """Without weights, a model that learns raises NotTrainedError, and so does saving."""
    if not subject.learns:
        return
    actions: tuple[Callable[[M], object], ...] = (subject.output, subject.explain, lambda model: model.weights())
    for action in actions:
        try:
            action(subject.make())
        except NotTrainedError:
            continue
        raise AssertionError("a model without weights did not raise NotTrainedError")


def check_same_seed_same_weights(subject: Subject[M]) -> None:
    """Two trainings with one seed give equal weights."""
    one, two = subject.fitted(0).weights(), subject.fitted(0).weights()
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)


def check_save_and_load(subject: Subject[M]) -> None:
    """Settings and extra are JSON; what is built from them takes the weights, which `weights` hands out as copies."""
    model = subject.fitted(0)
    before, weights = subject.output(model), model.weights()
    assert all(value.dtype != object for value in weights.values())
    settings, extra = json.loads(json.dumps([model.settings(), model.extra()]))
    other = subject.build(model.name, settings)
    other.load_weights(weights, extra)
    assert np.array_equal(subject.output(other), before)
    for value in weights.values():
        value.fill(0)
    assert np.array_equal(subject.output(model), before)
    assert np.array_equal(subject.output(other), before)


def check_foreign_weights_are_refused(subject: Subject[M]) -> None:
    """Missing, extra, misshapen or meaningless arrays raise ModelStoreError and leave the model unchanged."""
    model = subject.fitted(0)
    before, good = subject.output(model), model.weights()
    spoilt = [good | {"strange": np.zeros(3, np.float32)}]
    for name, value in good.items():
        spoilt.append({n: v for n, v in good.items() if n != name})
        spoilt.append(good | {name: np.zeros((7, 5, 3, 1), value.dtype)})
        senseless = {"f": np.nan, "u": 255}.get(value.dtype.kind)
        if senseless is not None and value.size:
            spoilt.append(good | {name: np.full_like(value, senseless)})
    for weights in spoilt:
        try:
            model.load_weights(weights, model.extra())
        except ModelStoreError:
            continue
        raise AssertionError("weights of another model were accepted")
    assert np.array_equal(subject.output(model), before)


def check_prepare_changes_nothing(subject: Subject[M]) -> None:
    """`prepare` may come before or after training, and changes none of its results."""
    subject.make().prepare()
    model = subject.fitted(0)
    before = subject.output(model)
    model.prepare()
    assert np.array_equal(subject.output(model), before)


_PROMISES = (
    check_untrained_is_refused,
    check_same_seed_same_weights,
    check_save_and_load,
    check_foreign_weights_are_refused,
    check_prepare_changes_nothing,
)


def promised(subject: Callable[P, Subject[M]]) -> tuple[Callable[P, None], ...]:
    """Every promise as a check of what `subject` is called with."""

    def checking(promise: Callable[[Subject[M]], None]) -> Callable[P, None]:
        @wraps(promise)
        def check(*args: P.args, **kwargs: P.kwargs) -> None:
            promise(subject(*args, **kwargs))

        return check

    return tuple(checking(promise) for promise in _PROMISES)
