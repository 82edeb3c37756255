"""Integrated gradients: what each token of a window adds to a network's score.

Paper: Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017,
https://arxiv.org/abs/1703.01365; computed by Captum, https://captum.ai. The baseline is zero, so a
token's contribution is measured against its place being blank.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from foundation.extras import require

STEPS = 128
"""Points of the integral; with a sigmoid at the end, 128 keep its error below a hundredth."""
_TOKENS = 1 << 14
"""Tokens that go through the network at once, so that a long window needs no more memory than a short one."""


def integrated(
    score: Callable[..., torch.Tensor], inputs: tuple[torch.Tensor, ...]
) -> tuple[NDArray[np.float32], float]:
    """Contributions of one window's tokens.

    Args:
        score: Takes tensors like `inputs` with any number of rows (B, L, ...) and gives scores (B,).
        inputs: Each (1, L, ...), all of one L.

    Returns:
        float32 (L,): summed over all but the position; and the score of the baseline.
    """
    require("explain", "the explanation of scores")
    from captum.attr import IntegratedGradients  # type: ignore[import-untyped]

    blank = tuple(torch.zeros_like(i) for i in inputs)
    parts = IntegratedGradients(score).attribute(
        inputs, blank, n_steps=STEPS, internal_batch_size=max(1, min(STEPS, _TOKENS // inputs[0].shape[1]))
    )
    with torch.no_grad():
        base = float(score(*blank)[0])
    total = torch.stack([p[0].flatten(1).sum(1) for p in parts]).sum(0)  # (L,)
    return total.detach().cpu().numpy().astype(np.float32), base
