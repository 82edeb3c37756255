"""Three regions and a coordinator on one machine, as a user writes their files and starts them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from engine.demo.log import BLOCK
from engine.demo.process import Message, driftline

REGIONS = ("ap", "eu", "us")
LABELS_LATE = 0.01
"""Delay of a block's label after its last line, as a share of the stream: labels arrive late."""

REGION = """\
# Written by `driftline demo --federated`; a region's file looks like this.
region = "{region}"

[source]
type = "kafka"
brokers = "{brokers}"
topic = "logs.{region}"

[parse]
format = "hdfs"

[window]
kind = "session"
gap_s = {gap_s}
growth = []

[model]
store = "{out}/models"
name = "bert_cnn"
poll_s = 1.0

[decide]
alert_budget = inf  # every alert is compared with the labels

[drift]
block_windows = 20
warmup_blocks = 10
current_blocks = 3
confirm_blocks = 2
cooldown_windows = 100

[drift_events]
type = "kafka"
brokers = "{brokers}"
topic = "driftline.drift"

[training]
path = "{out}/{region}/training.db"
windows_per_s = 10000

[[labels]]

[labels.source]
type = "kafka"
brokers = "{brokers}"
topic = "labels"

[labels.dead_letters]
type = "jsonl"
path = "{out}/{region}/bad-labels.jsonl"

[[sinks]]
type = "sql"
url = "sqlite:///{out}/{region}/alerts.db"

[dead_letters]
type = "jsonl"
path = "{out}/{region}/dead-letters.jsonl"

[recovery]
path = "{out}/{region}/state"
snapshot_s = 0.5

[node]
superlink = "127.0.0.1:{superlink}"
folder = "{out}/{region}/node"

[telemetry]
port = {port}
"""

COORDINATOR = """\
# Written by `driftline demo --federated`; a coordinator's file looks like this.
store = "{out}/models"
folder = "{out}/coordinator"
regions = ["ap", "eu", "us"]

[schedule]
debounce_s = 1.0
cool_down_s = 2.0

[round]
min_regions = 2
passes = 2
hello_s = 60.0
deadline_s = 600.0

[superlink]
folder = "{out}/coordinator/superlink"
port = {superlink}

[events]
type = "kafka"
brokers = "{brokers}"
topic = "driftline.drift"

[announce]
type = "kafka"
brokers = "{brokers}"
topic = "driftline.models"

[dead_letters]
type = "jsonl"
path = "{out}/coordinator/bad-events.jsonl"

[telemetry]
serve = false
"""

TOPICS = ("labels", "driftline.drift", "driftline.models", *(f"logs.{region}" for region in REGIONS))


def region_of(block: bytes) -> str:
    """Where a block's lines are written, by the last digit of its number."""
    return REGIONS[block[-1] % len(REGIONS)]


def messages(lines: Sequence[bytes], labels: dict[str, bool]) -> list[Message]:
    """The stream: every line to the topic of its region, and every label a while behind its block's last line.

    Lines without a block belong to no region and are left out.
    """
    last: dict[bytes, int] = {}
    placed: list[tuple[float, Message]] = []
    for i, line in enumerate(lines):
        found = BLOCK.search(line)
        if found is not None:
            placed.append((i, (f"logs.{region_of(found[0])}", line)))
            last[found[0]] = i
    for block, i in last.items():
        key = block.decode()
        if key in labels:
            document = json.dumps({"session": key, "anomalous": labels[key]}).encode()
            placed.append((i + LABELS_LATE * len(lines), ("labels", document)))
    return [message for _, message in sorted(placed, key=lambda p: p[0])]


def write_files(out: Path, brokers: str, gap_s: int, ports: Sequence[int]) -> None:
    """The four files; the last port is the SuperLink's, the others are the engines'."""
    common = {"out": out, "brokers": brokers, "superlink": ports[-1], "gap_s": gap_s}
    for region, port in zip(REGIONS, ports, strict=False):
        (out / region).mkdir(parents=True, exist_ok=True)
        (out / f"{region}.toml").write_text(REGION.format(**common, region=region, port=port))
    (out / "coordinator.toml").write_text(COORDINATOR.format(**common))


@contextmanager
def fleet(out: Path) -> Iterator[None]:
    """Coordinator, nodes and engines, each a process; engines are drained first at the end."""
    with ExitStack() as stack:
        log = out / "coordinator.log"
        stack.enter_context(driftline("federate", "coordinator", out / "coordinator.toml", log=log))
        for region in REGIONS:
            file = out / f"{region}.toml"
            stack.enter_context(driftline("federate", "node", file, log=out / region / "node.log"))
        for region in REGIONS:
            stack.enter_context(driftline("run", out / f"{region}.toml", log=out / region / "engine.log"))
        yield
