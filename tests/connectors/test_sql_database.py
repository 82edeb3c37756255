"""The SQL store's schema: from the table of 0.2 upwards, on SQLite and on PostgreSQL."""

import json
import re
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from connectors.base import Record, SettingsError
from connectors.sql import SqlSink
from connectors.sql_database import database_url, open_database
from connectors.sql_schema import ALERT_HOURS, ALERTS, METADATA, cause_id
from connectors.sql_settings import SqlSettings
from foundation.time_text import NS_PER_S, iso_time

RELEASED = (
    """CREATE TABLE alerts (
        id VARCHAR(64) PRIMARY KEY, region TEXT, source TEXT, session TEXT,
        score DOUBLE PRECISION, threshold DOUBLE PRECISION, model TEXT, version BIGINT,
        first_time TEXT, last_time TEXT, first_position BIGINT, last_position BIGINT,
        created TEXT, document TEXT NOT NULL)""",
    "CREATE INDEX alerts_created ON alerts (created)",
    "CREATE TABLE schema_version (version BIGINT PRIMARY KEY, applied TEXT NOT NULL)",
    "INSERT INTO schema_version VALUES (1, '2026-11-01T00:00:00.000Z')",
)
"""The schema before Alembic."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.process)])
def settings(request, tmp_path):
    if request.param == "sqlite":
        return SqlSettings(url=f"sqlite:///{tmp_path}/alerts.db")
    return SqlSettings(url=request.getfixturevalue("postgres_url"))


def _differences(engine):
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), METADATA)
    # The unique index of a table's column is a constraint in the declaration.
    return [d for d in found if d[0] not in ("remove_index", "add_constraint", "remove_table")]


def test_the_migrations_make_the_declared_tables(settings):
    engine = open_database(database_url(settings), settings)
    assert _differences(engine) == []
    engine.dispose()


def test_alerts_of_the_schema_before_alembic_are_kept_and_can_be_filtered(settings):
    alert = {"id": "a", "group": "00ff", "severity": "high", "reasons": [{"kind": "new", "template": "x \x00 <*>"}],
             "summary": "new line", "created": "2026-11-01T00:00:00.000Z"}  # fmt: skip
    before = sa.create_engine(database_url(settings))
    with before.begin() as connection:
        for statement in RELEASED:
            connection.exec_driver_sql(statement)
        insert = sa.text("INSERT INTO alerts (id, created, document) VALUES (:id, :created, :document)")
        connection.execute(insert, {"id": "a", "created": alert["created"], "document": json.dumps(alert)})
        connection.exec_driver_sql("UPDATE alerts SET last_time = '2026-11-01T07:59:58.000Z', score = 0.75")
        connection.execute(insert, {"id": "b", "created": "2026-11-02", "document": "{}"})
    before.dispose()
    engine = open_database(database_url(settings), settings)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(ALERTS).order_by(ALERTS.c.id)).mappings().all()
        assert connection.exec_driver_sql("SELECT MAX(version) FROM schema_version").scalar_one() == 2
    assert [(r["severity"], r["group_id"], r["kind"], r["cause"]) for r in rows] == [
        (3, "00ff", "new", "x \ufffd <*>"), (2, "", "score", ""),
    ]  # fmt: skip
    assert rows[0]["title"] == "new line"
    assert (rows[0]["cause_id"], rows[1]["cause_id"]) == (cause_id("x \ufffd <*>"), "")
    assert _hours(engine) == [("2026-11-01T07", "", "new", 3, 1, 0.75)]
    columns = {column["name"] for column in sa.inspect(engine).get_columns("alerts")}
    assert columns == {column.name for column in ALERTS.columns}
    engine.dispose()
    sink = SqlSink(settings)
    sink.open(None)
    sink.write([Record("a", "", {**alert, "severity": "low"})])
    sink.flush(5)
    assert sink.count() == 2
    sink.close()


def _hours(engine):
    with engine.connect() as connection:
        rows = connection.execute(sa.select(ALERT_HOURS).order_by(*ALERT_HOURS.primary_key)).all()
    return [
        (iso_time(r.minute * 60 * NS_PER_S)[:13], r.region, r.kind, r.severity, r.alerts, r.score)
        for r in rows
        if r.alerts
    ]


def test_alerts_are_counted_by_hour_also_after_a_replacement_a_replay_and_a_deletion(settings):
    def stored(name, last_time, severity="high", score=0.5, created="2026-11-01T08:00:00.000Z"):
        document = {"region": "eu", "last_time": last_time, "severity": severity, "score": score, "created": created}
        return Record(name, "", document)

    sink = SqlSink(settings.model_copy(update={"keep_days": 1.0}))
    sink.open(None)
    first = [stored("a", "2026-11-01T07:10:00.000Z"), stored("b", "2026-11-01T07:20:00.000Z", score=0.75)]
    for records in (first, first, [stored("b", "2026-11-01T07:20:00.000Z", "low")], [stored("c", "never")]):
        sink.write(records)
        sink.flush(5)
    engine = sa.create_engine(database_url(settings))
    assert _hours(engine) == [
        ("2026-11-01T07", "eu", "score", 1, 1, 0.5), ("2026-11-01T07", "eu", "score", 3, 1, 0.75),
    ]  # fmt: skip
    later = "2026-11-03T08:00:00.000Z"
    sink.write([stored("d", later, created=later)])
    sink.flush(5)
    assert (sink.count(), _hours(engine)) == (1, [("2026-11-03T08", "eu", "score", 3, 1, 0.5)])
    engine.dispose()
    sink.close()


def test_a_database_of_a_newer_program_is_refused(settings):
    engine = open_database(database_url(settings), settings)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    with pytest.raises(SettingsError, match=r"schema version 9999, but this program supports only 0007: update the"):
        open_database(database_url(settings), settings)


NAMED = {"sqlite": {"table": "order"}, "postgresql": {"table": "order", "schema": "user", "timestamptz": True}}
"""Settings whose names are words of SQL, so a statement that does not quote them fails."""


@pytest.fixture
def named(settings):
    url = settings.url.get_secret_value()
    return SqlSettings.model_validate({"url": url, **NAMED[url.partition(":")[0].partition("+")[0]]})


def _alert(name, created="2026-11-01T08:00:00.123456789Z", **more):
    times = {"first_time": "2026-11-01T07:59:00.000Z", "last_time": "2026-11-01T07:59:59.5Z", "created": created}
    return Record(name, "", {"id": name, "region": "eu", "severity": "high", "score": 0.5, **times, **more})


def test_alerts_are_kept_in_a_table_and_schema_of_another_name(named):
    url = database_url(named)
    foreign = sa.create_engine(url)
    with foreign.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alerts (mine INTEGER)")
    sink = SqlSink(named.model_copy(update={"keep_days": 1.0}))
    for _ in range(2):  # made, and opened again
        sink.open(None)
    for records in ([_alert("a"), _alert("b")], [_alert("b", score=0.75)]):
        sink.write(records)
        sink.flush(5)
    assert (sink.count(), [alert["id"] for alert in sink.recent()]) == (2, ["a", "b"])
    sink.write([_alert("c", "2026-11-03T08:00:00Z")])
    sink.flush(5)
    assert [alert["id"] for alert in sink.recent()] == ["c"]
    sink.close()
    schema = named.schema_name
    tables = set(sa.inspect(foreign).get_table_names(schema=schema))
    expected = {*METADATA.tables, "alembic_version", "order"} - {"alerts"}
    assert tables - {"alerts"} == expected
    with foreign.connect() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM alerts").scalar_one() == 0
    indexes = {index["name"] for index in sa.inspect(foreign).get_indexes("order", schema=schema)}
    assert indexes >= {re.sub("^alerts", "order", str(index.name)) for index in ALERTS.indexes}
    foreign.dispose()


@pytest.mark.process
@pytest.mark.parametrize("before", [False, True], ids=["a new table", "a table with alerts"])
def test_times_of_alerts_are_also_stored_as_timestamptz(postgres_url, before):
    plain = SqlSettings(url=postgres_url)
    settings = plain.model_copy(update={"timestamptz": True})
    records = [_alert("a"), _alert("b", first_time="never", last_time="2026-11-01 07:59")]
    if before:
        _store(plain, records)
    _store(settings, [] if before else records)
    engine = sa.create_engine(database_url(settings))
    with engine.connect() as connection:
        connection.exec_driver_sql("SET TIME ZONE 'Asia/Kolkata'")
        query = "SELECT first_at, last_at, created_at FROM alerts ORDER BY id"
        a, b = (tuple(row) for row in connection.exec_driver_sql(query))
        recent = "SELECT id FROM alerts WHERE last_at > timestamptz '2026-11-01 13:29:59+05:30'"
        assert [row[0] for row in connection.exec_driver_sql(recent)] == ["a"]
    engine.dispose()
    made = datetime(2026, 11, 1, 8, 0, 0, 123457, UTC)
    assert a == (datetime(2026, 11, 1, 7, 59, tzinfo=UTC), datetime(2026, 11, 1, 7, 59, 59, 500_000, UTC), made)
    assert b == (None, None, made)


def _store(settings, records):
    sink = SqlSink(settings)
    sink.open(None)
    sink.write(records)
    sink.flush(5)
    sink.close()


def test_a_database_made_with_another_table_name_is_refused(settings):
    _store(settings, [_alert("a")])
    with pytest.raises(SettingsError, match=r"has no table 'other': its tables were made with another `table`. Set"):
        SqlSink(settings.model_copy(update={"table": "other"})).open(None)
    _store(settings, [_alert("b")])  # nothing was changed by the refusal


def test_a_table_of_another_program_is_refused(settings):
    engine = sa.create_engine(database_url(settings))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alerts (mine INTEGER)")
    with pytest.raises(SettingsError, match=r"has a table 'alerts' that is not one of alerts: choose another `table`"):
        SqlSink(settings).open(None)
    assert sa.inspect(engine).get_table_names() == ["alerts"]
    engine.dispose()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"schema": "ops"}, "SQLite has no `schema`: leave it out, or name a PostgreSQL database in `url`"),
        ({"timestamptz": True}, "SQLite has no `timestamptz`: leave it out, or name"),
        ({"table": "markers"}, "`table` = 'markers' is another table or an index of the store: choose a free name"),
        ({"table": "audit_time"}, "`table` = 'audit_time' is another table or an index of the store"),
    ],
)
def test_settings_that_do_not_suit_the_database_are_refused_in_a_sentence(given, sentence):
    with pytest.raises(SettingsError, match=f"^{re.escape(sentence)}"):
        SqlSink(SqlSettings.model_validate(given))
