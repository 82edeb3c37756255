#!/usr/bin/env bash
# prometheus-client 0.26.0: one observed NaN makes the sum of a histogram NaN for the life of the process, so every
# average over it is lost. The observation is in no bucket, also not in +Inf, so the count does not include it:
# three calls of observe() leave a count of 2.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" prometheus-client==0.26.0
PYTHONPATH=$folder python3 - <<'PY'
from prometheus_client import CollectorRegistry, Histogram

registry = CollectorRegistry()
histogram = Histogram("score", "of a window", registry=registry, buckets=(1.0, 2.0))
for value in (1.0, float("nan"), 1.0):
    histogram.observe(value)
total, count = (registry.get_sample_value(f"score_{part}") for part in ("sum", "count"))
infinite = registry.get_sample_value("score_bucket", {"le": "+Inf"})
print(f"three observations, one of them NaN: sum {total}, count {count:g}, bucket +Inf {infinite:g}")
assert total != total
assert (count, infinite) == (2.0, 2.0), (count, infinite)
PY
