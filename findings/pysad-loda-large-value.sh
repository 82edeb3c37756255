#!/usr/bin/env bash
# pysad 0.7.0: one large value makes LODA deaf for good. Its bins stretch to take in the value and never shrink, so that
# everything else falls into one of them: from then on a row 15 deviations out scores the same as a normal one, to the
# third digit, also 3,000 rows later. A value of 1,000 among numbers around 0 is enough (bytes, milliseconds).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" pysad==0.7.0 numpy==2.2.6 scikit-learn==1.9.1
PYTHONPATH=$folder python3 -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from pysad.models import LODA


def scores(large):
    """The median score of normal rows, and the score of a row 15 deviations out after them."""
    np.random.seed(0)
    random, model = np.random.default_rng(0), LODA()
    for row in random.normal(size=(1_000, 2)):
        model.fit_score_partial(row)
    if large:
        model.fit_score_partial(np.array([1_000.0, 1_000.0]))
    normal = [float(np.ravel(model.fit_score_partial(row))[0]) for row in random.normal(size=(3_000, 2))]
    return np.median(normal[-500:]), float(np.ravel(model.score_partial(np.array([15.0, 15.0])))[0])


for large in (False, True):
    normal, outlier = scores(large)
    print(
        f"pysad {version('pysad')} LODA {'after one row of 1,000' if large else 'undisturbed'}: "
        f"normal rows {normal:.3f}, a row of 15 {outlier:.3f}"
    )
    assert (outlier - normal < 0.01) == large, (normal, outlier)
PY
