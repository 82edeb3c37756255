import datetime
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.data.workloads import BaseLog, write_workload
from bench.harness import BenchError
from bench.processes.alert_delays import event_seconds
from bench.processes.engine_process import EngineProcess, region
from bench.scenarios.engine_runs import spread
from bench.scenarios.latency import latencies
from connectors.files import FileSettings, FileSource
from connectors.ports import free_port

SECOND = 1_000_000_000


def line(second: int) -> bytes:
    stamp = datetime.datetime(2008, 11, 9, tzinfo=datetime.UTC) + datetime.timedelta(seconds=second)
    return f"{stamp:%y%m%d %H%M%S} 1 INFO a: blk_1 x\n".encode()


def alert(last: int, second: int, *, closed: bool, line_count: int = 3) -> dict[str, object]:
    stamp = datetime.datetime(2008, 11, 9, tzinfo=datetime.UTC) + datetime.timedelta(seconds=second)
    time = f"{stamp:%Y-%m-%dT%H:%M:%S}.000000000Z"
    return {"last_position": last << 20, "closed": closed, "last_time": time, "line_count": line_count}


def test_event_seconds_are_those_of_the_lines() -> None:
    data = b"081109 203530 1 INFO a: x\n090228 235959 2 INFO b: y\n"
    expected = [(2008, 11, 9, 20, 35, 30), (2009, 2, 28, 23, 59, 59)]
    assert event_seconds(data).tolist() == [
        int(datetime.datetime(*fields, tzinfo=datetime.UTC).timestamp()) for fields in expected
    ]


def test_latency_counts_from_the_completing_line() -> None:
    # One line a second of wall time; event time jumps by 30 hours at line 50.
    data = b"".join(line(i if i < 50 else i + 108_000) for i in range(100))
    produced = np.arange(100, dtype=np.int64) * SECOND
    alerts = [
        (31 * SECOND, alert(30, 30, closed=False)),
        (52 * SECOND, alert(20, 20, closed=True)),
        (43 * SECOND, alert(40, 40, closed=True, line_count=512)),
        (99 * SECOND, alert(98, 108_098, closed=True)),
        (9 * SECOND, alert(3, 3, closed=False)),
    ]
    assert latencies(alerts, produced, data).waited_ms.tolist() == [1_000.0, 2_000.0, 3_000.0]


def test_without_alerts_after_the_warm_up_there_is_no_figure() -> None:
    with pytest.raises(BenchError, match="none of 0 alerts"):
        latencies([], np.arange(3, dtype=np.int64), b"".join(map(line, range(3))))


def test_each_worker_gets_one_file(small_log: BaseLog, tmp_path: Path) -> None:
    workload = write_workload(2_000, parts=3, folder=tmp_path / "cache", base=small_log)
    paths = spread(workload, tmp_path)
    for worker, path in enumerate(paths):
        source = FileSource(FileSettings(paths=tuple(paths)), worker=worker, of=3)
        assert source.files() == [path]
        assert Path(path).read_bytes() == workload.paths[worker].read_bytes()


@pytest.mark.parametrize(
    ("source", "sink"),
    [
        ({"type": "file", "paths": ["a.log"]}, {"type": "jsonl", "path": "alerts.jsonl"}),
        (
            {"type": "kafka", "brokers": "127.0.0.1:1", "topic": "lines", "stop_at_end": True},
            {"type": "kafka", "brokers": "127.0.0.1:1", "topic": "alerts"},
        ),
    ],
)
def test_regions_are_what_the_engine_reads(tmp_path: Path, source: dict[str, object], sink: dict[str, object]) -> None:
    from engine.settings import load

    settings = load(region(tmp_path, source=source, sink=sink, store=tmp_path / "store", port=19_464))
    assert settings.source.type == source["type"]
    assert settings.sinks[0].type == sink["type"]
    assert settings.telemetry.port == 19_464


def test_an_engine_that_fails_is_reported_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with (
        EngineProcess(tmp_path / "region.toml", free_port()) as engine,
        pytest.raises(BenchError, match="ended with 1"),
    ):
        engine.run_to_end(10, 20.0, lambda stage, done, total: None)
