#!/usr/bin/env bash
# ddsketch 3.0.1: values with weights that add up to one or less have no quantiles. `add(value, weight)` takes any
# positive weight, and the rank looked for is q * (sum of weights - 1): with weights that are shares of one it is zero for
# every q, so that all quantiles are the least value; with smaller ones it is negative, and the answer is -0.99, which is
# no value of the sketch. The same shares times 100 give the right answers.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" ddsketch==3.0.1
PYTHONPATH=$folder python3 - <<'PY'
from ddsketch import DDSketch


def quantiles(scale):
    """Quantiles of four values with a quarter of the weight each."""
    sketch = DDSketch(0.01)
    for value in (1, 10, 100, 1000):
        sketch.add(value, 0.25 * scale)
    return [round(sketch.get_quantile_value(q), 2) for q in (0.1, 0.5, 0.9, 1.0)]


print("latencies of 1, 10, 100 and 1,000 ms, a quarter of the requests each; quantiles .1, .5, .9 and 1")
for scale, words in ((100, "weights of 25"), (1, "weights of .25"), (0.2, "weights of .05")):
    print(f"{words}: {quantiles(scale)}")
assert quantiles(100)[-1] > 990
assert quantiles(1) == [0.99] * 4
assert quantiles(0.2) == [-0.99] * 4
PY
