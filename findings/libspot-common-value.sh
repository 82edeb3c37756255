#!/usr/bin/env bash
# libspot 3.1.0 (streaming peaks over threshold): asked for one false alarm in 10,000, it raises one in six on whole
# numbers whose largest value is common. The threshold comes out a rounding error below that value, so the 17 % of the
# stream that equal it are anomalies. And its fit depends on the unit: durations in seconds around 1e-9 get a threshold
# without a tail, and about ten times the alarms that the same durations get in nanoseconds.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" libspot==3.1.0 numpy==2.4.6
PYTHONPATH=$folder python3 - <<'PY'
from importlib.metadata import version

import libspot
import numpy as np


def alarms(past, stream, q):
    spot = libspot.Spot(q=q)
    spot.fit(past)
    threshold = spot.anomaly_threshold
    return threshold, [spot.step(float(value)) for value in stream].count(libspot.ANOMALY)


random = np.random.default_rng(0)
past, stream = (random.choice([0.0, 1.0, 2.0], p=[0.5, 0.33, 0.17], size=5_000) for _ in range(2))
threshold, found = alarms(past, stream, 1e-4)
print(f"libspot {version('libspot')}: q = 1e-4, threshold {threshold!r}, {found} alarms in 5,000 of which .5 are asked for")
assert 1.999 < threshold < 2 and found > 700, (threshold, found)

past, stream = random.exponential(size=5_000), random.exponential(size=20_000)
nanoseconds, seconds = (alarms(past * unit, stream * unit, 1e-3)[1] for unit in (1.0, 1e-9))
print(f"the same durations, q = 1e-3 of 20,000: {nanoseconds} alarms in nanoseconds, {seconds} in seconds")
assert seconds > 8 * nanoseconds, (nanoseconds, seconds)
PY
