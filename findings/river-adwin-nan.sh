#!/usr/bin/env bash
# river 0.26.1: ADWIN takes a NaN without an error, and finds no change ever after. The NaN enters the running
# sums of its buckets; every comparison with them is false from then on. A stream of scores in which one model
# answer was NaN is never found to drift.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" river==0.26.1
PYTHONPATH=$folder python3 - <<'PY'
import random

import river
from river.drift import ADWIN


def changes(nan_at=None):
    random.seed(0)
    detector, found = ADWIN(), 0
    for i in range(20_000):
        if i == nan_at:
            detector.update(float("nan"))
        detector.update(random.random() + (5.0 if i > 1_000 else 0.0))
        found += detector.drift_detected
    return found


plain, with_nan = changes(), changes(nan_at=10)
print(f"river {river.__version__}: changes found in a stream with one jump: {plain}; with one NaN before it: {with_nan}")
assert plain >= 1, plain
assert with_nan == 0, with_nan
PY
