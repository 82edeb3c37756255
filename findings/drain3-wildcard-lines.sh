#!/usr/bin/env bash
# drain3 0.9.11: a line that consists of the miner's own wildcard, "<*>", never matches the cluster that the same
# line made a moment before. Similarity counts tokens that are equal and not the wildcard, so such a line is 0 %
# similar to itself. 50 equal lines make 50 clusters, and each later line is compared with all of them. Logs that
# hold templates (of a log parser, of an alert) contain such lines.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" drain3==0.9.11
PYTHONPATH=$folder python3 - <<'PY'
from drain3 import TemplateMiner
from drain3.template_miner_config import TemplateMinerConfig


def clusters(line):
    miner = TemplateMiner(None, TemplateMinerConfig())
    for _ in range(50):
        miner.add_log_message(line)
    return len(miner.drain.clusters)


found = {line: clusters(line) for line in ("<*> <*>", "<*> <*> <*> <*>", "value <*>", "value x")}
for line, count in found.items():
    print(f"50 lines {line!r}: {count} clusters")
assert found == {"<*> <*>": 50, "<*> <*> <*> <*>": 50, "value <*>": 1, "value x": 1}, found
PY
