"""The sums of hours and days are those of the minutes, whatever was replaced, replayed and deleted."""

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.sql_database import VERSIONS, database_url, open_database
from connectors.sql_rollup import SNAPSHOTS, KeptDays, SqlRollupSink
from connectors.sql_schema import COUNT_COLUMNS, LEVEL_COLUMNS, SCORE_SPANS, TEMPLATE_MINUTES, TEMPLATE_SPANS
from connectors.sql_settings import SqlSettings
from foundation.score_buckets import counts_of
from tests.support.counts import counts_record

TABLES = (TEMPLATE_MINUTES, TEMPLATE_SPANS, SCORE_SPANS)

COUNTS = st.tuples(*[st.integers(0, 9) for _ in COUNT_COLUMNS])
SCORES = st.dictionaries(st.integers(0, 61), st.integers(1, 5), max_size=3)
KEYS = st.tuples(st.sampled_from("pq"), st.integers(0, 4_000), st.sampled_from([0, 1_500]), st.sampled_from(["", "a"]))
BATCHES = st.lists(st.dictionaries(KEYS, st.tuples(COUNTS, SCORES), min_size=1, max_size=5), min_size=1, max_size=5)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.process)])
def store(request, tmp_path):
    if request.param == "sqlite":
        return SqlSettings(url=f"sqlite:///{tmp_path}/alerts.db")
    return SqlSettings(url=request.getfixturevalue("postgres_url"))


@pytest.fixture
def database(store):
    opened = SqlRollupSink(store, KeptDays(14, 90, 730))
    opened.open(None)
    opened.close()
    engine = sa.create_engine(database_url(store))
    yield engine
    engine.dispose()


def record(key, value):
    partition, minute, part, template = key
    counts, scores = value
    if not template:  # a row of all templates has windows only
        counts = (*(0 for _ in LEVEL_COLUMNS), *counts[len(LEVEL_COLUMNS) :])
    return counts_record(partition, minute, part, template, counts, tuple(sorted(scores.items())), text=template)


def write(sink, batch):
    sink.write([record(*item) for item in batch.items()])
    sink.flush(5)
    sink.snapshot()


def rows(database, table):
    with database.connect() as connection:
        return list(connection.execute(sa.select(table)).mappings())


def expected(database):
    """Sums of lines and windows, and of scores, from the rows of minutes."""
    sums: dict = {}
    scores: dict = {}
    for row in rows(database, TEMPLATE_MINUTES):
        for template in {row["template"], ""}:
            for span in (1_440, 60, 1)[: 2 if template else 3]:
                key = span, row["minute"] - row["minute"] % span, template
                own = row["template"] == template
                counts = [row[name] if own or name in LEVEL_COLUMNS else 0 for name in COUNT_COLUMNS]
                sums[key] = [a + b for a, b in zip(sums.get(key, [0] * len(counts)), counts, strict=True)]
                for bucket, windows in counts_of(row["scores"]).items() if own else ():
                    scores[*key, bucket] = scores.get((*key, bucket), 0) + windows
    return sums, scores


def stored(database):
    sums = {
        (row["span"], row["minute"], row["template"]): [row[name] for name in COUNT_COLUMNS]
        for row in rows(database, TEMPLATE_SPANS)
    }
    scores = {
        (row["span"], row["minute"], row["template"], row["bucket"]): row["windows"]
        for row in rows(database, SCORE_SPANS)
        if row["windows"]
    }
    return sums, scores


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(batches=BATCHES)
def test_sums_are_those_of_the_minutes_after_every_replacement(store, database, batches):
    with database.begin() as connection:
        for table in TABLES:
            connection.execute(table.delete())
    sink = SqlRollupSink(store, KeptDays(14, 90, 730))
    sink.open(None)
    for batch in batches:
        write(sink, batch)
        write(sink, batch)
        assert stored(database) == expected(database)
    sink.close()
    for row in rows(database, TEMPLATE_SPANS):
        assert row["lines"] == sum(row[name] for name in LEVEL_COLUMNS)


COUNTED = ((0, 0, 0, 2, 0, 0, 0, 0, 0, 0), {})


def test_a_row_that_may_be_written_again_is_not_deleted(store, database):
    sink = SqlRollupSink(store, KeptDays(1, 90, 730))
    sink.open(None)
    replayed = {("p", minute, 0, "a"): COUNTED for minute in (0, 5_000)}
    write(sink, replayed)
    sink.close()
    sink.open(None)  # a crash before the epoch was committed: the rows are written again
    write(sink, replayed)
    for _ in range(SNAPSHOTS):
        write(sink, {("p", 5_001, 0, "a"): COUNTED})
    assert [row["minute"] for row in rows(database, TEMPLATE_MINUTES)] == [5_000, 5_001]
    lines = {row["minute"]: row["lines"] for row in rows(database, TEMPLATE_SPANS) if row["span"] == 1_440}
    assert lines == {0: 2, 4_320: 4}
    sink.close()


def test_partitions_that_lag_behind_keep_their_minutes_for_twice_the_time(store, database):
    sink = SqlRollupSink(store, KeptDays(2, 90, 730))
    sink.open(None)
    write(sink, {("q", 3_000, 0, "a"): COUNTED, ("q", 100, 0, "a"): COUNTED})
    sink.close()
    sink.open(None)
    for _ in range(SNAPSHOTS + 1):
        write(sink, {("p", 6_000, 0, "a"): COUNTED})
    assert sorted(row["minute"] for row in rows(database, TEMPLATE_MINUTES)) == [3_000, 6_000]
    sink.close()


def test_minutes_of_long_ago_that_are_still_read_are_not_deleted(store, database):
    sink = SqlRollupSink(store, KeptDays(2, 90, 730))
    sink.open(None)
    for _ in range(SNAPSHOTS + 1):
        write(sink, {("p", 9_000, 0, "a"): COUNTED})
    for minute in (100, 101, 102):  # an old file, in whose open minutes nothing changes between two writes
        sink.write([record(("q", minute, 0, "a"), COUNTED), record(("p", 9_000 + minute, 0, "a"), COUNTED)])
        sink.flush(5)
        sink.snapshot()
    for _ in range(2):
        write(sink, {("q", minute, 0, "a"): COUNTED for minute in (100, 101, 102)})
    lines = {row["minute"]: row["lines"] for row in rows(database, TEMPLATE_SPANS) if row["span"] == 1_440}
    assert lines[0] == 3 * 2
    sink.close()


def test_counts_of_the_schema_before_the_sums_are_added_up(store):
    engine = sa.create_engine(database_url(store))
    scripts = ScriptDirectory(str(VERSIONS), version_locations=[str(VERSIONS)])
    with engine.begin() as connection:
        context = EnvironmentContext(Config(), scripts, fn=lambda now, _: scripts._upgrade_revs("0005", now))
        context.configure(connection=connection, alerts_table="alerts")
        context.run_migrations()
        for minute, template, lines in ((59, "a", 1), (60, "a", 2), (61, "b", 4), (1_500, "a", 8)):
            values = f"'eu', 'p', {minute}, 0, '{template}', 0, 0, 0, {lines}, 0, 1, 0"
            connection.exec_driver_sql(f"INSERT INTO template_minutes VALUES ({values})")
    open_database(database_url(store), store).dispose()
    assert stored(engine) == expected(engine)
    totals = {(row["span"], row["minute"]): row["lines"] for row in rows(engine, TEMPLATE_SPANS) if not row["template"]}
    assert totals == {
        (1, 59): 2, (1, 60): 3, (1, 61): 5, (1, 1_500): 9, (60, 0): 2, (60, 60): 8, (60, 1_500): 9, (1_440, 0): 10,
        (1_440, 1_440): 9,
    }  # fmt: skip
    engine.dispose()
