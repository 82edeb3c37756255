#!/usr/bin/env bash
# pyod 3.6.7: QMCD calls the farthest rows the most normal ones. Its discrepancy is a product of terms of the distance
# to the edge of the unit cube; rows outside the range of the training data leave the cube, the terms change sign, and
# the score falls with the distance: -3.16 at 6 standard deviations, -11 million at 100, threshold -3.15. Every row far
# enough out is predicted normal.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" pyod==3.6.7 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
PYTHONPATH=$folder OMP_NUM_THREADS=1 python3 -W ignore - <<'PY'
import numpy as np
import pyod
from pyod.models.qmcd import QMCD

for seed in range(3):
    random = np.random.default_rng(seed)
    model = QMCD().fit(random.normal(size=(400, 4)))
    rows = {far: np.full((1, 4), far) for far in (0.0, 6.0, 10.0, 100.0)}
    scores = {far: float(model.decision_function(row)[0]) for far, row in rows.items()}
    print(f"pyod {pyod.__version__} QMCD, seed {seed}, threshold {model.threshold_:.4f}: score by distance {scores}")
    assert scores[100.0] < scores[10.0] < scores[6.0] < scores[0.0] <= model.threshold_
    assert not any(model.predict(row)[0] for row in rows.values())
PY
