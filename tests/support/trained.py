"""Trains a model once for all contract checks that only use a trained one."""

from collections.abc import Callable, Hashable
from typing import Any

OF_TRAINING = {"check_same_seed_same_weights", "check_input_is_untouched", "check_save_and_load"}
"""Checks of training itself, and of what restores a model: each trains for itself."""


class TrainedOnce:
    """Stands in for `fitted` of a module of checks; later calls load the weights of the first."""

    def __init__(self, fitted: Callable[..., Any]) -> None:
        self._fitted = fitted
        self._weights: dict[Hashable, Any] = {}

    def of(self, variant: Hashable, check: Callable[..., None]) -> Callable[..., Any]:
        """`fitted` for one check of a variant, of which `make` builds another each time."""
        afresh = check.__name__ in OF_TRAINING

        def fitted(make: Callable[[], Any], workload: Any, seed: int = 0) -> Any:
            if afresh or (variant, seed) not in self._weights:
                model = self._fitted(make, workload, seed)
                self._weights[variant, seed] = model.weights(), model.extra()
                return model
            model = make()
            model.load_weights(*self._weights[variant, seed])
            if hasattr(model, "learn_templates"):
                model.learn_templates(workload.templates)
            return model

        return fitted
