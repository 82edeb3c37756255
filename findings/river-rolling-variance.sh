#!/usr/bin/env bash
# river 0.26.1: one large value ruins a rolling variance for good, long after it has left the window. Rolling(Var)
# takes old values out of its running sums again; after a value of 1e9 (bytes, nanoseconds) the rounding error of that
# subtraction stays: a variance of -2.6 where 1 is right, 250 steps later. GaussianScorer(window_size=...) then has a
# complex number as standard deviation and its next score raises TypeError, or it scores with twice the true spread.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" river==0.26.1
PYTHONPATH=$folder python3 - <<'PY'
import random
import statistics

import river
from river import anomaly, stats, utils

random.seed(0)
values = [random.gauss(0, 1) for _ in range(500)]
values[150] = 1e9
rolling = utils.Rolling(stats.Var(), 100)
for value in values:
    rolling.update(value)
true = statistics.variance(values[-100:])
print(f"river {river.__version__}: variance of the last 100 values {true:.3f}, Rolling(Var) {rolling.get():.3f}")
assert 0.5 < true < 2 and rolling.get() < 0

random.seed(0)
scorer = anomaly.GaussianScorer(window_size=100)
for i in range(2_000):
    value = random.gauss(0, 1)
    scorer.learn_one(None, 1e9 if i == 150 else value)
print(f"GaussianScorer, 1,850 values after it: standard deviation {scorer.gaussian.sigma}")
try:
    scorer.score_one(None, 50.0)
except TypeError as error:
    print(f"its score of a value 50 standard deviations out: TypeError: {error}")
else:
    raise SystemExit("it scores again")
PY
