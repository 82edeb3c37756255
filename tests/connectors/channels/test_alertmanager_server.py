"""A real Alertmanager: what is sent fires, is grouped, is notified about, and ends."""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.channels.alertmanager import Alertmanager, AlertmanagerSettings
from connectors.channels.sink import ChannelSink
from connectors.ports import free_port
from tests.connectors.channels.test_channels import record
from tests.support.http_receiver import Receiver

LIMIT_S = 60.0

BINARY = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(BINARY is None, reason="Alertmanager is not installed"),
]


def until(found: Any, what: str) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError(f"no {what} after {LIMIT_S} s")


@pytest.fixture
def notified() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def server(tmp_path: Path, notified: Receiver) -> Iterator[str]:
    config = tmp_path / "alertmanager.yml"
    config.write_text(
        json.dumps(
            {
                "route": {
                    "receiver": "hook",
                    "group_by": ["region"],
                    "group_wait": "0s",
                    "group_interval": "1s",
                    "repeat_interval": "1h",
                },
                "receivers": [{"name": "hook", "webhook_configs": [{"url": notified.url, "send_resolved": True}]}],
            }
        )
    )
    port = free_port()
    assert BINARY is not None
    process = subprocess.Popen(
        [BINARY, f"--config.file={config}", f"--storage.path={tmp_path / 'data'}", "--cluster.listen-address=",
         f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"],
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return bool(urllib.request.urlopen(f"{url}/-/ready", timeout=1).status == 200)
        except OSError:
            return False

    until(ready, "Alertmanager")
    yield url
    process.terminate()
    process.wait(LIMIT_S)


def alerts(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=5).read())
    return found


def test_groups_fire_are_reminded_and_end(server: str, notified: Receiver) -> None:
    settings = AlertmanagerSettings(url=server, labels={"team": "db"}, repeat_s=30.0, resolve_after_s=600.0)
    now = [time.time()]
    sink = ChannelSink(settings, Alertmanager(settings), server, repeat_s=settings.repeat_s, clock=lambda: now[0])
    sink.open(None)
    sink.write([record(1), record(2), record(1)])
    sink.flush(10.0)
    found = until(lambda: alerts(server), "alerts")
    assert {alert["labels"]["group"] for alert in found} == {"eu/0000000000000001", "eu/0000000000000002"}
    assert all(alert["labels"]["team"] == "db" for alert in found)
    firing = until(lambda: notified.received, "notification")[0].json
    assert firing["status"] == "firing"
    assert firing["version"] == "4"
    updated = {alert["fingerprint"]: alert["updatedAt"] for alert in found}
    now[0] += 31.0
    sink.flush(10.0)
    until(lambda: all(a["updatedAt"] > updated[a["fingerprint"]] for a in alerts(server)), "reminder")
    now[0] += 600.0
    sink.flush(10.0)
    until(lambda: not alerts(server), "end")
    until(lambda: notified.received[-1].json["status"] == "resolved", "notification of the end")
    sink.close()
