"""Secure aggregation: the coordinator sees the sum of the updates only.

The guard cannot check single updates. The region itself rejects values beyond the clipping range; a
region that lies within the range is found by the gate only.
"""

import numpy as np
from numpy.typing import NDArray

from federation.errors import RoundFailedError
from federation.privacy.base import PassOperations, PassResult, PrivacyMode
from federation.protocol.records import MIN_MASKED_REGIONS, Update, Weights, floating


class SecureAggregation(PrivacyMode):
    """Masked changes; see `federation.flower.secagg_client` and `secagg_server` for the protocol."""

    name = "secagg"
    hides_updates = True

    def aggregate(self, training_pass: PassOperations) -> PassResult:
        """Add the mean change to the weights; the returned updates all hold the common weights."""
        regions = training_pass.regions
        if len(regions) < MIN_MASKED_REGIONS:
            raise RoundFailedError(
                f"secure aggregation needs {MIN_MASKED_REGIONS} regions, and only {list(regions)} are present", regions
            )
        change, counted = training_pass.masked_mean(max(MIN_MASKED_REGIONS, len(regions) // 2 + 1))
        weights = _shifted(training_pass.weights, change)
        updates = (Update(region, weights, n, metrics) for region, (n, metrics) in sorted(counted.items()))
        return PassResult(weights, tuple(updates))


def _shifted(weights: Weights, change: NDArray[np.float64]) -> Weights:
    """The weights plus a flat change, float64 (n,), in the order of `floating`."""
    moved, start = dict(weights), 0
    for name in floating(weights):
        old = weights[name]
        part = change[start : start + old.size].reshape(old.shape)
        moved[name] = (old.astype(np.float64) + part).astype(old.dtype)
        start += old.size
    return moved
