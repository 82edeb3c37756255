"""The ledger: what the coordinator knows and must not forget, in one SQLite file.

Every change that belongs together is one transaction: triggers with the position behind them, a round
with the triggers it answers, a result with who was missing. A coordinator that is killed finds in here
which step was the last one done.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from federation.errors import StorageError
from federation.storage.document_feed import Position
from foundation.sqlite import connect, immediate

BUSY_S = 30.0
"""How long to wait for another process's write (`driftline federate round`, `driftline models rollback`)."""


class RoundStep(StrEnum):
    """The last step of a round, or of a rollback, that is done; in this order."""

    PLANNED = "planned"
    STARTED = "started"
    JUDGED = "judged"
    PUBLISHED = "published"
    AUDITED = "audited"
    DONE = "done"


Outcome = Literal["", "accepted", "published", "refused", "superseded", "failed", "interrupted"]


class LedgerSettings(BaseModel):
    """How much the ledger keeps; the audit log keeps a line of every round and rollback."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_triggers: Annotated[int, Field(ge=1)] = Field(
        10_000, description="Reasons for rounds that may wait (further drift events are passed over), and of those "
        "answered or dismissed the newest that are kept.",
    )  # fmt: skip
    keep_days: Annotated[float, Field(gt=0)] = Field(
        90.0, description="Days after which a reason that was answered or dismissed is forgotten."
    )
    keep_rounds: Annotated[int, Field(ge=1)] = Field(
        1_000, description="Rounds of which the ledger and a folder tell, the newest, and as many rollbacks. The audit "
        "log tells of all.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RoundTrigger:
    """A reason for a round.

    Attributes:
        id: Unique; a second one with the same id is the same trigger.
        kind: `drift` from a region, `schedule`, or `manual` by an operator's command.
        region: Where it comes from, "" if from none.
        time_ns: Wall clock of its arrival.
        version: The model version it speaks of; 0 where it speaks of none.
        text: One sentence.
        attempts: Rounds that failed to answer it so far.
    """

    id: str
    kind: Literal["drift", "schedule", "manual"]
    region: str
    time_ns: int
    version: int
    text: str
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Round:
    """A round as the ledger keeps it; times are wall clock, ns, 0 where it has not come to that."""

    round_id: str
    model: str
    version: int
    reason: str
    step: RoundStep
    planned_ns: int
    number: int = 0
    started_ns: int = 0
    ended_ns: int = 0
    traceparent: str = ""
    outcome: Outcome = ""
    sentence: str = ""
    published: int = 0
    threshold: float = 0.0
    participants: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    figures: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    examples: int = 0
    epsilon: float | None = None


@dataclass(frozen=True, slots=True)
class Rollback:
    """A rollback on its way; `step` as for a round: PLANNED, PUBLISHED (the pointer moved), AUDITED, DONE."""

    id: str
    model: str
    bad: int
    good: int
    reason: str
    step: RoundStep
    time_ns: int


@dataclass(frozen=True, slots=True)
class Attendance:
    """How a region attends rounds; `missed` counts those in a row that it was missing from."""

    name: str
    missed: int
    attended: int
    last_round: str


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
    """See the module. One thread uses an instance; other processes may open the same file."""

    def __init__(self, path: Path, bounds: LedgerSettings | None = None) -> None:
        """Opens the file, or makes it.

        Args:
            path: The SQLite file.
            bounds: See the class.

        Raises:
            StorageError: it cannot be opened.
        """
        self._path = path
        self._bounds = bounds or LedgerSettings.model_validate({})
        try:
            self._database = connect(path, BUSY_S, "FULL", _SCHEMA)  # a recorded step has to survive a power cut
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"the ledger {path} cannot be opened: {error}") from error

    def observe(
        self, triggers: Iterable[RoundTrigger], rollbacks: Iterable[Rollback] = (),
        position: tuple[str, Position] | None = None,
    ) -> int:  # fmt: skip
        """Takes in what came, with the place behind it in the stream it came from; how many were news.

        Drift beyond `max_triggers` that wait already is passed over: a round is due anyway.
        """
        news, times_ns = 0, [0]
        with self._writing() as database:
            for t in triggers:
                room = self._bounds.max_triggers if t.kind == "drift" else _NO_BOUND
                times_ns.append(t.time_ns)
                news += database.execute(
                    "INSERT OR IGNORE INTO triggers (id, kind, region, time_ns, version, text, attempts) "
                    f"SELECT ?, ?, ?, ?, ?, ?, ? WHERE (SELECT count(*) FROM triggers WHERE {_WAITING}) < ?",
                    (t.id, t.kind, t.region, t.time_ns, t.version, t.text, t.attempts, room),
                ).rowcount
            if news:
                self._forget(database, max(times_ns))
            for r in rollbacks:
                news += database.execute(
                    "INSERT OR IGNORE INTO rollbacks VALUES (?, ?, ?)", (r.id, r.step, _dump(r))
                ).rowcount
            if position is not None:
                _set(database, f"position {position[0]}", position[1])
        return news

    def pending(self) -> tuple[RoundTrigger, ...]:
        """Triggers that no round has taken up, oldest first."""
        with self._asking() as database:
            rows = database.execute(
                "SELECT id, kind, region, time_ns, version, text, attempts FROM triggers "
                f"WHERE {_WAITING} ORDER BY time_ns, id"
            ).fetchall()
        return tuple(RoundTrigger(*row) for row in rows)

    def dismiss(self, triggers: Iterable[RoundTrigger], fate: str) -> None:
        """Takes triggers off the list without a round; `fate` says why."""
        with self._writing() as database:
            for trigger in triggers:
                database.execute("UPDATE triggers SET fate = ? WHERE id = ?", (fate, trigger.id))

    def plan(self, planned: Round, triggers: Iterable[RoundTrigger]) -> Round:
        """Opens a round that answers these triggers, which may be new; gives it its number."""
        with self._writing() as database:
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
        """Records what became of a round.

        Args:
            changed: The round.
            expected: With a judged round of which it is known who took part, and only then: every region that
                should have; attendance is counted.
        """
        with self._writing() as database:
            database.execute(
                "UPDATE rounds SET step = ?, content = ? WHERE round_id = ?",
                (changed.step, _dump(changed), changed.round_id),
            )
            if expected is not None:
                _attend(database, changed, expected)

    def close_round(self, ended: Round, attempts: int) -> None:
        """Ends a round, and decides about its triggers where it came to nothing.

        Drift whose round failed, and everything whose round was interrupted, waits for another round,
        until `attempts` rounds came to nothing.
        """
        again = {"failed": ("drift",), "interrupted": ("drift", "manual", "schedule")}.get(ended.outcome, ())
        with self._writing() as database:
            database.execute(
                "UPDATE rounds SET step = ?, content = ? WHERE round_id = ?", (ended.step, _dump(ended), ended.round_id)
            )
            if ended.outcome in ("failed", "interrupted"):
                database.execute("UPDATE triggers SET attempts = attempts + 1 WHERE round_id = ?", (ended.round_id,))
            for kind in again:
                database.execute(
                    "UPDATE triggers SET round_id = '' WHERE round_id = ? AND kind = ? AND attempts < ?",
                    (ended.round_id, kind, attempts),
                )
            self._forget(database, ended.ended_ns)

    def _forget(self, database: sqlite3.Connection, now_ns: int) -> None:
        """Drops triggers that are settled, and too old or too many, and the oldest rounds and rollbacks."""
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
        """The round that is not done; there is one at the most."""
        return next(iter(self._rounds("WHERE step != 'done' ORDER BY number LIMIT 1")), None)

    def rounds(self, count: int) -> tuple[Round, ...]:
        """The newest rounds, newest first."""
        return self._rounds(f"ORDER BY number DESC LIMIT {int(count)}")

    def round_ids(self) -> frozenset[str]:
        """Ids of all rounds that are remembered."""
        with self._asking() as database:
            return frozenset(row[0] for row in database.execute("SELECT round_id FROM rounds"))

    def find_round(self, round_id: str) -> Round | None:
        """The round with this id."""
        return next(iter(self._rounds("WHERE round_id = ?", round_id)), None)

    def round_of(self, trigger_id: str) -> str:
        """Id of the round that answers a trigger, "" where none does yet."""
        with self._asking() as database:
            row = database.execute("SELECT round_id FROM triggers WHERE id = ?", (trigger_id,)).fetchone()
        return str(row[0]) if row else ""

    def save_rollback(self, changed: Rollback) -> None:
        """Records what became of a rollback."""
        with self._writing() as database:
            database.execute(
                "UPDATE rollbacks SET step = ?, content = ? WHERE id = ?", (changed.step, _dump(changed), changed.id)
            )

    def open_rollbacks(self) -> tuple[Rollback, ...]:
        """Rollbacks that are not done, oldest first."""
        with self._asking() as database:
            rows = database.execute("SELECT content FROM rollbacks WHERE step != 'done'").fetchall()
        found = [Rollback(**{**json.loads(row[0]), "step": RoundStep(json.loads(row[0])["step"])}) for row in rows]
        return tuple(sorted(found, key=lambda r: (r.time_ns, r.id)))

    def regions(self) -> tuple[Attendance, ...]:
        """Every region that a round expected or met, by name."""
        with self._asking() as database:
            rows = database.execute("SELECT name, missed, attended, last_round FROM regions ORDER BY name").fetchall()
        return tuple(Attendance(*row) for row in rows)

    def fact(self, name: str) -> Any:
        """A fact kept as JSON; None where it was never set."""
        with self._asking() as database:
            row = database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def set_fact(self, name: str, value: Any) -> None:
        """Keeps a JSON-compatible fact."""
        with self._writing() as database:
            _set(database, name, value)

    def close(self) -> None:
        """Frees the file; a second call does nothing."""
        self._database.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rounds(self, where: str, *values: str) -> tuple[Round, ...]:
        with self._asking() as database:
            rows = database.execute(f"SELECT number, content FROM rounds {where}", values).fetchall()
        return tuple(_load(number, content) for number, content in rows)

    @contextmanager
    def _asking(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._database
        except sqlite3.Error as error:
            raise StorageError(f"the ledger {self._path}: {error}") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._asking() as database, immediate(database):
            yield database


def _set(database: sqlite3.Connection, name: str, value: Any) -> None:
    database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))


def _attend(database: sqlite3.Connection, judged: Round, expected: Iterable[str]) -> None:
    known = {row[0] for row in database.execute("SELECT name FROM regions")}
    waited_for = set(expected)
    if waited_for:  # who was taken out of the settings is no longer missed
        gone = known - waited_for - set(judged.participants)
        database.executemany("DELETE FROM regions WHERE name = ?", [(name,) for name in gone])
    for name in sorted((waited_for or known) | set(judged.participants)):
        there = name in judged.participants
        database.execute(
            """INSERT INTO regions VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
            missed = CASE WHEN ? THEN 0 ELSE missed + 1 END, attended = attended + ?,
            last_round = CASE WHEN ? THEN excluded.last_round ELSE last_round END""",
            (name, int(not there), int(there), judged.round_id if there else "", there, int(there), there),
        )


def _dump(record: Round | Rollback) -> str:
    return json.dumps(asdict(record))


def _load(number: int, content: str) -> Round:
    told = json.loads(content)
    told["figures"] = tuple((name, tuple(current), tuple(candidate)) for name, current, candidate in told["figures"])
    for field in fields(Round):
        if isinstance(told[field.name], list):
            told[field.name] = tuple(told[field.name])
    return Round(**{**told, "number": number, "step": RoundStep(told["step"])})
