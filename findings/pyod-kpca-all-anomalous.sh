#!/usr/bin/env bash
# pyod 3.6.7: KPCA with default settings predicts every row anomalous that it was not trained on. It keeps as many
# components as there are training rows, so it rebuilds these without an error and fits its threshold on errors of
# 1e-15; any other row, of the same distribution, is above it. The training labels look sound (10 % anomalous).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" pyod==3.6.7 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
PYTHONPATH=$folder OMP_NUM_THREADS=1 python3 -W ignore - <<'PY'
import numpy as np
import pyod
from pyod.models.kpca import KPCA
from pyod.models.pca import PCA

for seed in range(3):
    random = np.random.default_rng(seed)
    known, unseen = random.normal(size=(400, 4)), random.normal(size=(400, 4))
    kernel, plain = KPCA().fit(known), PCA().fit(known)
    shares = kernel.labels_.mean(), kernel.predict(unseen).mean(), plain.predict(unseen).mean()
    print(
        f"pyod {pyod.__version__} KPCA, seed {seed}: threshold {kernel.threshold_:.1e}; anomalous of the training rows "
        f"{shares[0]:.0%}, of unseen rows {shares[1]:.0%}; PCA, of unseen rows {shares[2]:.0%}"
    )
    assert shares[0] <= 0.11 and shares[1] == 1.0 and shares[2] < 0.3
PY
