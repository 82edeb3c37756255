#!/usr/bin/env bash
# flwr 1.42.0: FedTrimmedAvg at its default beta of 0.2 trims nothing below five replies, without a word: with three or
# four clients one outlying model goes into the mean in full. It never weights either: a client with one example counts
# as much as one with a thousand, though its parameter weighted_by_key is documented as the weight of the models.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --disable-pip-version-check --target "$folder" flwr==1.42.0 numpy==2.4.6
PYTHONPATH=$folder python3 -W ignore - <<'PY'
import inspect
import logging
from importlib.metadata import version

import numpy as np
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.strategy import FedTrimmedAvg
from flwr.serverapp.strategy import FedTrimmedAvg as Current


logging.disable()


def reply(value, examples):
    return None, FitRes(Status(Code.OK, ""), ndarrays_to_parameters([np.array([value])]), examples, {})


print(f"flwr {version('flwr')}")
for clients in (3, 4, 5):
    replies = [reply(1.0, 1_000) for _ in range(clients - 1)] + [reply(1_000.0, 1)]
    mean = parameters_to_ndarrays(FedTrimmedAvg().aggregate_fit(1, replies, [])[0])[0][0]
    print(f"{clients} clients, one of them with one example and a weight of 1,000 instead of 1: {mean}")
    assert np.isclose(mean, 1.0 if clients == 5 else (clients - 1 + 1_000) / clients), mean
assert inspect.signature(FedTrimmedAvg.__init__).parameters["beta"].default == 0.2
assert inspect.signature(Current.__init__).parameters["beta"].default == 0.2
PY
