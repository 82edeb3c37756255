from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from models.base import WindowDetector
from models.detectors import checks
from models.detectors.checks import CHECKS, WindowWorkload, fitted
from models.detectors.registry import DETECTORS, UNTRAINED, build
from models.detectors.torch_detector import TorchDetector
from models.training.model_registry import entry
from tests.support.trained import TrainedOnce

TRAINED = TrainedOnce(fitted)
EVERY = {**DETECTORS, **UNTRAINED}
VARIANTS = [(name, settings) for name in EVERY for settings in entry(EVERY, "detector", name).model.check_settings]
WITH_DEVICE = [v for v in VARIANTS if issubclass(entry(EVERY, "detector", v[0]).model, TorchDetector)]


def maker(variant: tuple[str, Mapping[str, Any]], device: str = "cpu") -> Callable[[], WindowDetector]:
    return lambda: build(*variant, device=device)


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v[0] + "-" + "-".join(map(str, v[1].values()))[:40])
def test_check(
    check: Callable[..., None], variant: tuple[str, Mapping[str, Any]], workload: WindowWorkload,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(checks, "fitted", TRAINED.of(str(variant), check))
    check(maker(variant), workload)


@pytest.mark.parametrize("variant", WITH_DEVICE, ids=lambda v: v[0])
def test_cuda_agrees_with_cpu(variant: tuple[str, Mapping[str, Any]], workload: WindowWorkload) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA GPU")
    here = fitted(maker(variant), workload)
    there = build(*variant, device="cuda")
    there.load_weights(here.weights(), here.extra())
    there.learn_templates(workload.templates)
    np.testing.assert_allclose(there.score(workload.windows), here.score(workload.windows), atol=1e-3)
