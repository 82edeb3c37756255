"""The ledger: the coordinator's durable state, in one SQLite file.

Changes that belong together are one transaction: triggers with the position behind them, a round with its
triggers, a result with the attendance of the regions. A coordinator that was killed finds here which step was
completed last.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from federation.coordinator.records import Attendance, Rollback, Round, RoundStep, RoundTrigger
from federation.errors import StorageError
from federation.protocol.records import LabelledAnomalies
from federation.round.result import RegionVerdict, Standing
from federation.storage.document_feed import Position
from foundation.sqlite import connect, immediate

BUSY_S = 30.0
"""Time to wait for another process's write (`driftline federate round`, `driftline models rollback`)."""


@dataclass(frozen=True, slots=True)
class LedgerBounds:
    """How much the ledger keeps; the audit log keeps every round and rollback.

    Attributes:
        max_triggers: Drift events that may wait: a round is due long before there are this many. Of the settled
            triggers the newest as many are kept.
        keep_days: Days after which a settled trigger is deleted; longer than operators need them.
        keep_rounds: Newest rounds that are kept with their folders, and rollbacks; more than a month of hourly
            rounds.
    """

    max_triggers: int = 10_000
    keep_days: float = 90.0
    keep_rounds: int = 1_000


_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS triggers (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, region TEXT NOT NULL, time_ns INTEGER NOT NULL, version INTEGER NOT NULL,
    text TEXT NOT NULL, attempts INTEGER NOT NULL, round_id TEXT NOT NULL DEFAULT '', fate TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS rounds (
    number INTEGER PRIMARY KEY AUTOINCREMENT, round_id TEXT NOT NULL UNIQUE, step TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rollbacks (id TEXT PRIMARY KEY, step TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS regions (
    name TEXT PRIMARY KEY, missed INTEGER NOT NULL, attended INTEGER NOT NULL, last_round TEXT NOT NULL);
"""

_WAITING = "round_id = '' AND fate = ''"
_SETTLED = "NOT (round_id = '' AND fate = '') AND round_id NOT IN (SELECT round_id FROM rounds WHERE step != 'done')"
_NO_BOUND = 1 << 62


class Ledger:
    """The coordinator's SQLite file. One thread uses an instance; other processes may open the same file."""

    def __init__(self, path: Path, bounds: LedgerBounds = LedgerBounds()) -> None:
        """Open or create the file.

        Args:
            path: The SQLite file.
            bounds: How much is kept.

        Raises:
            StorageError: it cannot be opened.
        """
        self._path = path
        self._bounds = bounds
        try:
            self._database = connect(path, BUSY_S, "FULL", _SCHEMA)  # a recorded step has to survive a power cut
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"the ledger {path} cannot be opened: {error}") from error

    def record(
        self, triggers: Iterable[RoundTrigger], rollbacks: Iterable[Rollback] = (),
        position: tuple[str, Position] | None = None,
    ) -> int:  # fmt: skip
        """Add triggers and rollbacks, together with the position behind them in their stream.

        Drift events beyond `max_triggers` that already wait are skipped: a round is due anyway.

        Returns:
            How many were new.
        """
        new, times_ns = 0, [0]
        with self._transaction() as database:
            for t in triggers:
                room = self._bounds.max_triggers if t.kind == "drift" else _NO_BOUND
                times_ns.append(t.time_ns)
                new += database.execute(
                    "INSERT OR IGNORE INTO triggers (id, kind, region, time_ns, version, text, attempts) "
                    f"SELECT ?, ?, ?, ?, ?, ?, ? WHERE (SELECT count(*) FROM triggers WHERE {_WAITING}) < ?",
                    (t.id, t.kind, t.region, t.time_ns, t.version, t.text, t.attempts, room),
                ).rowcount
            if new:
                self._delete_old(database, max(times_ns))
            for r in rollbacks:
                new += database.execute(
                    "INSERT OR IGNORE INTO rollbacks VALUES (?, ?, ?)", (r.id, r.step, _dump(r))
                ).rowcount
            if position is not None:
                _set(database, f"position {position[0]}", position[1])
        return new

    def pending(self) -> tuple[RoundTrigger, ...]:
        """Triggers that wait for a round, oldest first."""
        with self._connection() as database:
            rows = database.execute(
                "SELECT id, kind, region, time_ns, version, text, attempts FROM triggers "
                f"WHERE {_WAITING} ORDER BY time_ns, id"
            ).fetchall()
        return tuple(RoundTrigger(*row) for row in rows)

    def dismiss(self, triggers: Iterable[RoundTrigger], reason: str) -> None:
        """Settle triggers without a round."""
        with self._transaction() as database:
            for trigger in triggers:
                database.execute("UPDATE triggers SET fate = ? WHERE id = ?", (reason, trigger.id))

    def plan(self, planned: Round, triggers: Iterable[RoundTrigger]) -> Round:
        """Add a round for these triggers, which may be new, and return it with its number."""
        with self._transaction() as database:
            database.execute(
                "INSERT INTO rounds (round_id, step, content) VALUES (?, ?, ?)",
                (planned.round_id, planned.step, _dump(planned)),
            )
            for t in triggers:
                database.execute(
                    "INSERT INTO triggers (id, kind, region, time_ns, version, text, attempts, round_id) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET round_id = excluded.round_id",
                    (t.id, t.kind, t.region, t.time_ns, t.version, t.text, t.attempts, planned.round_id),
                )
            (number,) = database.execute("SELECT number FROM rounds WHERE round_id = ?", (planned.round_id,)).fetchone()
        return replace(planned, number=number)

    def save(self, changed: Round, expected: Iterable[str] | None = None) -> None:
        """Save a changed round.

        Args:
            changed: The round.
            expected: Every region that should have taken part; given once, when the participants of the round
                are known, and counted as attendance.
        """
        with self._transaction() as database:
            _update_round(database, changed)
            if expected is not None:
                _count_attendance(database, changed, expected)

    def close_round(self, ended: Round, attempts: int) -> None:
        """End a round; some triggers of a round without a result wait for another one.

        These are drift events and commands if the round failed, and all triggers if it was interrupted, until
        `attempts` rounds have failed.
        """
        again = {"failed": ("drift", "manual"), "interrupted": ("drift", "manual", "schedule")}.get(ended.outcome, ())
        with self._transaction() as database:
            _update_round(database, ended)
            if ended.outcome in ("failed", "interrupted"):
                database.execute("UPDATE triggers SET attempts = attempts + 1 WHERE round_id = ?", (ended.round_id,))
            for kind in again:
                database.execute(
                    "UPDATE triggers SET round_id = '' WHERE round_id = ? AND kind = ? AND attempts < ?",
                    (ended.round_id, kind, attempts),
                )
            self._delete_old(database, ended.ended_ns)

    def _delete_old(self, database: sqlite3.Connection, now_ns: int) -> None:
        """Delete settled triggers that are too old or too many, and the oldest rounds and rollbacks."""
        for table in ("rounds", "rollbacks"):
            database.execute(
                f"DELETE FROM {table} WHERE step = 'done' AND rowid <= (SELECT max(rowid) FROM {table}) - ?",
                (self._bounds.keep_rounds,),
            )
        database.execute(
            f"""DELETE FROM triggers WHERE {_SETTLED} AND (time_ns < ? OR id IN
            (SELECT id FROM triggers WHERE {_SETTLED} ORDER BY time_ns DESC, id LIMIT -1 OFFSET ?))""",
            (now_ns - int(self._bounds.keep_days * 86_400e9), self._bounds.max_triggers),
        )

    def open_round(self) -> Round | None:
        """The round that is not done, of which there is at most one."""
        return next(iter(self._rounds("WHERE step != 'done' ORDER BY number LIMIT 1")), None)

    def rounds(self, count: int) -> tuple[Round, ...]:
        """The newest rounds, newest first."""
        return self._rounds(f"ORDER BY number DESC LIMIT {int(count)}")

    def round_ids(self) -> frozenset[str]:
        """Ids of all rounds in the ledger."""
        with self._connection() as database:
            return frozenset(row[0] for row in database.execute("SELECT round_id FROM rounds"))

    def find_round(self, round_id: str) -> Round | None:
        """The round with this id."""
        return next(iter(self._rounds("WHERE round_id = ?", round_id)), None)

    def round_for(self, trigger_id: str) -> str:
        """Id of the round that was planned for a trigger, "" if absent yet."""
        with self._connection() as database:
            row = database.execute("SELECT round_id FROM triggers WHERE id = ?", (trigger_id,)).fetchone()
        return str(row[0]) if row else ""

    def save_rollback(self, changed: Rollback) -> None:
        """Save a changed rollback."""
        with self._transaction() as database:
            database.execute(
                "UPDATE rollbacks SET step = ?, content = ? WHERE id = ?", (changed.step, _dump(changed), changed.id)
            )

    def open_rollbacks(self) -> tuple[Rollback, ...]:
        """Rollbacks that are not done, oldest first."""
        with self._connection() as database:
            rows = database.execute("SELECT content FROM rollbacks WHERE step != 'done'").fetchall()
        return tuple(sorted((_load_rollback(row[0]) for row in rows), key=lambda r: (r.time_ns, r.id)))

    def rollbacks(self) -> tuple[Rollback, ...]:
        """All rollbacks in the ledger, newest first."""
        with self._connection() as database:
            rows = database.execute("SELECT content FROM rollbacks").fetchall()
        return tuple(sorted((_load_rollback(row[0]) for row in rows), key=lambda r: (-r.time_ns, r.id)))

    def regions(self) -> tuple[Attendance, ...]:
        """Every region that a round expected or met, by name."""
        with self._connection() as database:
            rows = database.execute("SELECT name, missed, attended, last_round FROM regions ORDER BY name").fetchall()
        return tuple(Attendance(*row) for row in rows)

    def fact(self, name: str) -> Any:
        """The JSON value stored under a name; None if it was never set."""
        with self._connection() as database:
            row = database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def set_fact(self, name: str, value: Any) -> None:
        """Store a JSON value under a name."""
        with self._transaction() as database:
            _set(database, name, value)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._database.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rounds(self, where: str, *values: str) -> tuple[Round, ...]:
        with self._connection() as database:
            rows = database.execute(f"SELECT number, content FROM rounds {where}", values).fetchall()
        return tuple(_load(number, content) for number, content in rows)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._database
        except sqlite3.Error as error:
            raise StorageError(f"the ledger {self._path}: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as database, immediate(database):
            yield database


def _set(database: sqlite3.Connection, name: str, value: Any) -> None:
    database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))


def _update_round(database: sqlite3.Connection, changed: Round) -> None:
    values = (changed.step, _dump(changed), changed.round_id)
    database.execute("UPDATE rounds SET step = ?, content = ? WHERE round_id = ?", values)


def _count_attendance(database: sqlite3.Connection, judged: Round, expected: Iterable[str]) -> None:
    known = {row[0] for row in database.execute("SELECT name FROM regions")}
    required = set(expected)
    if required:  # a region that was removed from the settings is not missing any more
        gone = known - required - set(judged.participants)
        database.executemany("DELETE FROM regions WHERE name = ?", [(name,) for name in gone])
    for name in sorted((required or known) | set(judged.participants)):
        present = name in judged.participants
        database.execute(
            """INSERT INTO regions VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
            missed = CASE WHEN ? THEN 0 ELSE missed + 1 END, attended = attended + ?,
            last_round = CASE WHEN ? THEN excluded.last_round ELSE last_round END""",
            (name, int(not present), int(present), judged.round_id if present else "", present, present, present),
        )


def _dump(record: Round | Rollback) -> str:
    return json.dumps(asdict(record))


def _load_rollback(content: str) -> Rollback:
    values = json.loads(content)
    return Rollback(**{**values, "step": RoundStep(values["step"])})


def _load(number: int, content: str) -> Round:
    values = json.loads(content)
    values["figures"] = tuple((name, tuple(old), tuple(new)) for name, old, new in values["figures"])
    values["verdicts"] = tuple(
        RegionVerdict(**{**v, "standing": Standing(v["standing"])}) for v in values.get("verdicts", ())
    )
    values["labels"] = LabelledAnomalies(**values.get("labels", {}))
    for field in fields(Round):
        if isinstance(values.get(field.name), list):
            values[field.name] = tuple(values[field.name])
    return Round(**{**values, "number": number, "step": RoundStep(values["step"])})
