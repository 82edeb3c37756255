"""`percentile`: a share of the normal scores lies below."""

import numpy as np

from models.base import TrainingError
from models.thresholds.base import Labels, Scores, just_above, normal_scores


def percentile(scores: Scores, labels: Labels, *, percent: float = 99.5) -> float:
    """Just above the score below which `percent` % of the normal scores lie."""
    if not 0 <= percent <= 100:
        raise TrainingError(f"threshold percentile: percent is {percent}; it must lie between 0 and 100")
    return just_above(float(np.percentile(normal_scores(scores, labels), percent, method="higher")))
