#!/usr/bin/env bash
# frouros 0.9.0: KuiperTest looks the Kolmogorov-Smirnov statistic up in Kuiper's table. Kuiper's statistic is the sum of
# the largest differences upwards and downwards, so it is never below the Kolmogorov-Smirnov one; here it is always equal
# to it, and the p-value is far too large. A change of spread, which Kuiper's test is chosen for, gets a p-value that
# calls it no change, where astropy 7.1.0 on the same numbers is sure of it.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" frouros==0.9.0 astropy==7.1.0 numpy==2.1.3
PYTHONPATH=$folder python3 -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from astropy.stats import kuiper_two
from frouros.detectors.data_drift import KuiperTest
from scipy.stats import ks_2samp

random = np.random.default_rng(0)
before, after = random.normal(0, 1, 300), random.normal(0, 1.4, 300)
detector = KuiperTest()
detector.fit(X=before)
found = detector.compare(X=after)[0]
true, true_p = kuiper_two(before, after)
smirnov = ks_2samp(before, after).statistic
print(f"frouros {version('frouros')}: statistic {found.statistic:.4f}, p {found.p_value:.3f}")
print(f"astropy {version('astropy')}: statistic {true:.4f}, p {true_p:.1e}; Kolmogorov-Smirnov statistic {smirnov:.4f}")
assert found.statistic == smirnov
assert true > smirnov * 1.2
assert found.p_value > 0.2 and true_p < 0.01, (found.p_value, true_p)
PY
