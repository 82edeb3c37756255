"""The files of the demonstration's regions and coordinator, as a user would write them."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from engine.demo.log import GAP_S, LABELS_HEADER
from foundation.errors import DriftlineError

REGIONS = ("ap", "eu", "us")
TOPICS = ("labels", "driftline.drift", *(f"logs.{region}" for region in REGIONS))

REGION = """\
# Written by `driftline demo`; a region's file looks like this.
region = "{region}"

[source]
type = "kafka"
brokers = "{brokers}"
topic = "logs.{region}"
start = "earliest"

[parse]
format = "hdfs"

[window]
kind = "session"
gap_s = {gap_s}
growth = {growth}

[model]
store = "{out}/models"
name = "bert_cnn"
poll_s = 1.0

[decide]
alert_budget = inf  # every alert is compared with the labels
silences = "{out}/{region}/silences.toml"

[rollup]

[[sinks]]
type = "sql"
url = "sqlite:///{out}/{region}/alerts.db"

[dead_letters]
type = "jsonl"
path = "{out}/{region}/dead-letters.jsonl"

[recovery]
path = "{out}/{region}/state"
snapshot_s = 0.5

[telemetry]
port = {port}
"""

NODE = """
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

[node]
superlink = "127.0.0.1:{superlink}"
folder = "{out}/{region}/node"
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

[dead_letters]
type = "jsonl"
path = "{out}/coordinator/bad-events.jsonl"

[telemetry]
port = {port}
"""


SERVE = """\
# Written by `driftline demo`; the file of `driftline serve`.
region = "{out}/{region}.toml"
{coordinator}
[listen]
port = {port}
"""


class DemoError(DriftlineError):
    """The demonstration cannot continue; the message gives the reason."""


def write_region(out: Path, brokers: str, port: int) -> Path:
    """The file of one region without a coordinator, `demo.toml`."""
    return _write_region(out, "demo", REGION, brokers=brokers, port=port, gap_s=GAP_S, growth=[8, 16, 32])


def write_fleet(out: Path, brokers: str, gap_s: int, ports: Sequence[int]) -> list[Path]:
    """The files of the three regions, and `coordinator.toml`.

    Args:
        out: The folder.
        brokers: Address of the broker.
        gap_s: Gap of the session windows.
        ports: Of the regions' metrics, the coordinator's metrics, and the SuperLink.
    """
    common = {"brokers": brokers, "superlink": ports[-1], "gap_s": gap_s, "growth": []}
    (out / "coordinator.toml").write_text(COORDINATOR.format(out=out, port=ports[-2], **common))
    return [
        _write_region(out, region, REGION + NODE, port=port, **common)
        for region, port in zip(REGIONS, ports[:-2], strict=True)
    ]


def write_serve(out: Path, region: str, port: int, *, coordinator: bool = False) -> Path:
    """The file of the console over what the demonstration left, `serve.toml`.

    Args:
        out: The folder.
        region: Whose alerts and counts it shows.
        port: Where it answers.
        coordinator: Whether it shows the rounds as well.
    """
    line = f'coordinator = "{out}/coordinator.toml"\n' if coordinator else ""
    path = out / "serve.toml"
    path.write_text(SERVE.format(out=out, region=region, port=port, coordinator=line))
    return path


def _write_region(out: Path, region: str, text: str, **values: object) -> Path:
    (out / region).mkdir(exist_ok=True)
    path = out / f"{region}.toml"
    path.write_text(text.format(out=out, region=region, **values))
    return path


def clear(out: Path, *names: str) -> None:
    """Make the folder, and remove what an earlier demonstration left in it: `names` and the training log.

    Raises:
        DemoError: something else left it there, such as the package `models` in a checkout.
    """
    out.mkdir(parents=True, exist_ok=True)
    mark = out / "train.csv"
    ours = mark.is_file() and mark.read_bytes().startswith(LABELS_HEADER.encode())
    found = [path for name in ("models", "runs", "train.log", *names) if (path := out / name).exists()]
    if found and not ours:
        raise DemoError(f"{found[0]} does not belong to an earlier demonstration; name another folder with --out")
    for path in [*found, mark]:  # the file that identifies the folder goes last
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
