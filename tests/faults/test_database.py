"""The database of the alerts is killed while alerts arrive: nothing is lost, and nothing is there twice."""

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connectors.sql_schema import LEVEL_COLUMNS
from tests.faults.test_kill import KILLS, LINE_BITS, Feeder, kill_after
from tests.support.apache_kafka import both_brokers
from tests.support.processes import kill

pytestmark = pytest.mark.process

LINES = 15_000
SECONDS = 15.0


@pytest.mark.timeout(400)
def test_postgresql_is_killed_twice_and_the_worker_once(
    broker: Any, new_topic: Callable[[int], str], launch: Any, log_lines: Any, expected: Any, until: Any, agree: Any,
    postgres_url: str,
) -> None:  # fmt: skip
    topic, lines = new_topic(1), log_lines(LINES, 61)
    wanted = expected(lines, f"{topic}/0", lambda i: i << LINE_BITS)
    assert len(wanted) > 20
    sql = {"type": "sql", "url": postgres_url}
    engine = launch({"type": "kafka", "brokers": broker.brokers, "topic": topic}, [sql], rollup={"keep_days": 3_650})
    feeder = Feeder(broker.brokers, topic, [lines], SECONDS)
    until(lambda: engine.ready(), "the engine answers")
    server = PostgresServer(postgres_url)
    feeder.start()
    for outage in range(2):
        until(lambda least=outage + 1: len(_documents(postgres_url)) >= 5 * least, "alerts are stored")
        server.kill()
        until(lambda: "sinks" in engine.wrong(), "the outage is reported")
        if outage:
            kill(engine.process.pid)
            engine.process.wait()
            engine.start()
        server.start()
    until(lambda: feeder.left == 0, "all lines are produced")
    until(lambda: {d["id"] for d in _documents(postgres_url)} >= wanted.keys(), "all alerts are stored")
    assert engine.drain() == 0
    agree(_documents(postgres_url), wanted, once=True)
    levels = " + ".join(LEVEL_COLUMNS)
    assert _rows(postgres_url, f"SELECT SUM({levels}) FROM template_minutes") == [(len(lines),)]


@pytest.mark.timeout(600)
@both_brokers("broker")
def test_ten_kills_of_workers_store_every_alert_once_in_postgresql(
    broker: Any, new_topic: Callable[[int], str], launch: Any, log_lines: Any, expected: Any, until: Any, agree: Any,
    postgres_url: str,
) -> None:  # fmt: skip
    """In a schema and a table of other names, and with columns of timestamps."""
    topic, lines = new_topic(2), [log_lines(LINES, 62), log_lines(LINES, 63)]
    wanted = {}
    for partition, its_lines in enumerate(lines):
        wanted |= expected(its_lines, f"{topic}/{partition}", lambda i: i << LINE_BITS)
    sql = {"type": "sql", "url": postgres_url, "schema": "ops", "table": "found", "timestamptz": True}
    source = {"type": "kafka", "brokers": broker.brokers, "topic": topic}
    engine = launch(source, [sql], workers=2, rollup={"flush_s": 0.3, "keep_days": 3_650})
    feeder = Feeder(broker.brokers, topic, lines, SECONDS)
    until(lambda: engine.ready(0), "the first worker answers")
    feeder.start()
    chance = random.Random(7)
    for i in range(KILLS):
        kill_after(until, engine, i % 2, chance.uniform(0.0, 2.0))
    until(lambda: feeder.left == 0, "all lines are produced")
    until(lambda: {d["id"] for d in _documents(postgres_url, "ops.found")} >= wanted.keys(), "all alerts are stored")
    assert engine.drain() == 0
    assert engine.text().count("it is restarted") == KILLS
    agree(_documents(postgres_url, "ops.found"), wanted, once=True)
    levels = " + ".join(LEVEL_COLUMNS)
    assert _rows(postgres_url, f"SELECT SUM({levels}) FROM ops.template_minutes") == [(sum(map(len, lines)),)]
    differ = "first_at::text IS DISTINCT FROM first_time::timestamptz::text OR created_at IS NULL OR last_at < first_at"
    assert _rows(postgres_url, f"SELECT COUNT(*) FROM ops.found WHERE {differ}") == [(0,)]


class PostgresServer:
    """The server of the tests, killed as a crash does and started again with its files."""

    def __init__(self, url: str) -> None:
        data = Path(_rows(url, "SHOW data_directory")[0][0])
        owner = data.owner()
        as_user = ["runuser", "-u", owner, "--"] if os.geteuid() == 0 else []
        program = shutil.which("pg_ctl") or str(next(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")))
        self._options = (data / "postmaster.opts").read_text().partition(" ")[2].strip()
        self._control = [*as_user, program, "-D", str(data), "-w", "-t", "120"]
        self._log = str(data.parent / "log")

    def kill(self) -> None:
        subprocess.run([*self._control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd="/tmp")

    def start(self) -> None:
        # Its output goes to a file: a pipe would stay open as long as the server runs.
        options = self._options.replace('"', "")
        subprocess.run([*self._control, "-l", self._log, "-o", options, "start"], check=True, cwd="/tmp",
                       stdout=subprocess.DEVNULL)  # fmt: skip


def _rows(url: str, query: str) -> list[tuple[Any, ...]]:
    import psycopg

    with closing(psycopg.connect(url.replace("+psycopg", ""))) as connection:
        return connection.execute(query).fetchall()


def _documents(url: str, table: str = "alerts") -> list[dict[str, Any]]:
    """All documents in the store, none where its table is missing."""
    if _rows(url, f"SELECT to_regclass('{table}')") == [(None,)]:
        return []
    return [json.loads(document) for (document,) in _rows(url, f"SELECT document FROM {table}")]
