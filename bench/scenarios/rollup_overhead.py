"""Scenario rollup-overhead: what the counts per minute and template cost the engine."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from bench.data.workloads import write_workload
from bench.harness import Outcome, Run, Scenario, Target
from bench.scenarios.drift_overhead import spent
from bench.scenarios.engine_runs import trained_store
from connectors.base import Record
from connectors.sql_database import database_url
from connectors.sql_rollup import KeptDays, SqlRollupSink
from connectors.sql_schema import COUNT_COLUMNS, TEMPLATE_MINUTES
from connectors.sql_settings import SqlSettings

STEPS = ("rollup", "count")
FLUSH_ROWS = 2_000
KEPT = KeptDays(36_500, 36_500, 36_500)


def rollup_overhead(run: Run) -> Outcome:
    """Share of the engine's CPU time that the two steps of the rollup take, and that storing their rows takes.

    The steps are timed within a run, snapshots included, for the reason in `drift_overhead`. The sink is timed
    afterwards: it stores the rows of the run in an empty database.
    """
    lines, seed, rounds = run.setting("lines", 5_000_000), run.setting("seed", 0), run.setting("rounds", 3)
    store = trained_store(run)
    run.progress("workload", 0, 0)
    workload = write_workload(lines, seed=seed)
    run.settings["workload"] = workload.origin
    found: list[tuple[float, ...]] = []
    for done in range(rounds):
        with tempfile.TemporaryDirectory(prefix="driftline-bench-") as folder:
            counts = SqlSettings.model_validate({"url": f"sqlite:///{folder}/counts.db"})
            sections: dict[str, dict[str, Any]] = {
                "rollup": {"keep_days": 36_500},
                "rollup.store": {"type": "sql", "url": f"sqlite:///{folder}/counts.db"},
            }
            cpu_s, steps = spent(workload, store, sections)
            records = _records(counts)
            sink_s = _stored_s(records, Path(folder) / "again.db") / lines
        found.append((cpu_s, sum(steps[name] for name in STEPS), sink_s, len(records)))
        run.progress("rounds", done + 1, rounds)
    cpu_s, step_s, sink_s, rows = np.median(found, axis=0).tolist()
    return Outcome(
        {
            "overhead_share": (step_s + sink_s) / cpu_s,
            "step_ns_per_line": step_s * 1e9,
            "sink_ns_per_line": sink_s * 1e9,
            "cpu_ns_per_line": cpu_s * 1e9,
        },
        detail={"rows": rows},
    )


def _records(store: SqlSettings) -> list[Record]:
    """The rows of a run as its sink was given them."""
    engine = sa.create_engine(database_url(store))
    with engine.connect() as connection:
        rows = connection.execute(sa.select(TEMPLATE_MINUTES)).mappings().all()
    engine.dispose()
    return [_record(i, row) for i, row in enumerate(rows)]


def _record(number: int, row: Any) -> Record:
    names = ("region", "partition", "minute", "part", "template", "scores")
    document = {
        **{name: row[name] for name in names}, "counts": [row[name] for name in COUNT_COLUMNS],
        "first_ns": 0, "last_ns": 0, "text": row["template"], "example": "",
    }  # fmt: skip
    return Record(str(number), row["partition"], document)


def _stored_s(records: list[Record], path: Path) -> float:
    """CPU seconds in which a sink stores records."""
    sink = SqlRollupSink(SqlSettings.model_validate({"url": f"sqlite:///{path}"}), KEPT)
    sink.open(None)
    started_s = time.process_time()
    for i in range(0, len(records), FLUSH_ROWS):
        sink.write(records[i : i + FLUSH_ROWS])
        sink.flush(5)
        sink.snapshot()
    ended_s = time.process_time()
    sink.close()
    return ended_s - started_s


ROLLUP_OVERHEAD = Scenario(
    "rollup-overhead",
    "Share of the engine's CPU time that counts per minute and template take, their rows stored in SQLite",
    rollup_overhead,
    {
        "overhead_share": Target(better="lower", goal=0.02, floor=0.03, tolerance=0.5),
        "step_ns_per_line": Target(better="lower", tolerance=0.5),
        "sink_ns_per_line": Target(better="lower", tolerance=0.5),
        "cpu_ns_per_line": Target(better="lower", tolerance=0.3),
    },
    detectors=("bert_cnn",),
)
