#!/usr/bin/env bash
# drain3 0.9.11: with `drain_max_clusters`, saving the state makes the template that every line hits the next one to
# be evicted. The clusters lie in an LRU cache; whatever walks over `drain.clusters` (`save_state`,
# `get_total_cluster_size`, a listing) reads each entry by the access that renews it, so the order of use becomes the
# order of age. With the default snapshot on every change, the bound keeps the newest templates, not the used ones,
# and the hot template gets a new id after each eviction.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" drain3==0.9.11
PYTHONPATH=$folder python3 - <<'PY'
from importlib.metadata import version

from drain3 import TemplateMiner
from drain3.memory_buffer_persistence import MemoryBufferPersistence
from drain3.template_miner_config import TemplateMinerConfig


def evicted(look):
    config = TemplateMinerConfig()
    config.drain_max_clusters = 4
    miner = TemplateMiner(None, config)
    for line in ["alpha one", "beta two", "gamma three", "delta four", *["alpha one"] * 100]:
        miner.add_log_message(line)
    look(miner)
    miner.add_log_message("epsilon five")  # takes the place of one of the four
    return {1, 2, 3, 4} - {cluster.cluster_id for cluster in miner.drain.clusters}


def save(miner):
    miner.persistence_handler = MemoryBufferPersistence()
    miner.save_state("snapshot")


print(f"drain3 {version('drain3')}, four templates, the first one matched 100 times more, room for four")
for name, look, expected in (
    ("nothing", lambda miner: None, {2}),
    ("save_state", save, {1}),
    ("get_total_cluster_size", lambda miner: miner.drain.get_total_cluster_size(), {1}),
    ("list(drain.clusters)", lambda miner: list(miner.drain.clusters), {1}),
):
    found = evicted(look)
    print(f"before a fifth template: {name}; evicted: template {found}")
    assert found == expected, (name, found)
PY
