#!/usr/bin/env bash
# pyod 3.6.7: ECOD and COPOD add the rows that they are asked about to the training rows before they score them. The
# same row scores 18.6 alone, far above the fitted threshold, and below it next to 2,000 rows like it: an incident that
# is scored as one batch hides itself, and scores of batches of different sizes cannot be compared. The threshold was
# fitted without such rows. KNN, for comparison, gives a row the same score in any company.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" pyod==3.6.7 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
PYTHONPATH=$folder OMP_NUM_THREADS=1 python3 -W ignore - <<'PY'
import numpy as np
import pyod
from pyod.models.copod import COPOD
from pyod.models.ecod import ECOD
from pyod.models.knn import KNN

random = np.random.default_rng(0)
normal = random.normal(size=(500, 3))
row = np.array([[8.0, 8.0, 8.0]])
incident = np.vstack([row, random.normal(8, 1, size=(2_000, 3))])
for kind, differs in ((ECOD, True), (COPOD, True), (KNN, False)):
    model = kind().fit(normal)
    alone, within = model.decision_function(row)[0], model.decision_function(incident)[0]
    share = model.predict(incident).mean()
    print(
        f"pyod {pyod.__version__} {kind.__name__}: threshold {model.threshold_:.2f}, the row alone {alone:.2f}, "
        f"the row in a batch of 2,001 like it {within:.2f}; share of that batch called anomalous {share:.1%}"
    )
    assert alone > model.threshold_
    assert bool(within < model.threshold_) == differs
    assert bool(share < 0.1) == differs
PY
