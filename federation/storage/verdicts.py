"""What labels show of the model in service: its verdicts on the sessions whose labels have arrived."""

import json
import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Labels since a model version went into service, counted by session.

    Attributes:
        right, wrong: Operators' verdicts on alerts: true alerts and false alarms.
        found: Anomalous sessions that the model calls anomalous.
        false: Normal sessions that it calls anomalous.
        missed: Anomalous sessions that it calls normal. In these three, a label of a rule counts half.
    """

    right: int = 0
    wrong: int = 0
    found: float = 0.0
    false: float = 0.0
    missed: float = 0.0


def latest_label_ns(database: sqlite3.Connection) -> int:
    """Arrival of the latest label; 0 without labels."""
    (latest,) = database.execute("SELECT max(received_ns) FROM labels").fetchone()
    return int(latest or 0)


_SERVICE = "service"


def note_service(database: sqlite3.Connection, version: int, time_ns: int) -> None:
    """Note the version in service, and the event time of the first window that it scored."""
    database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (_SERVICE, json.dumps([version, time_ns])))


def service_start_ns(database: sqlite3.Connection, version: int) -> int:
    """Event time of the first window that a version scored; before all windows if it is not known to serve."""
    row = database.execute("SELECT value FROM facts WHERE name = ?", (_SERVICE,)).fetchone()
    noted, time_ns = (0, 0) if row is None else json.loads(row[0])
    return int(time_ns) if version and noted == version else -(2**63)


def read_verdicts(
    database: sqlite3.Connection, received_ns: int, time_ns: int, threshold: float, ruled: int
) -> Verdicts:
    """Count feedback by its arrival, and labelled sessions by the event time of their windows.

    Args:
        database: A training store.
        received_ns: Wall clock from which feedback counts.
        time_ns: Event time from which windows count: those that the version has scored.
        threshold: Score from which a window is anomalous.
        ruled: Rank of labels of rules.
    """
    feedback = dict(
        database.execute(
            "SELECT anomalous, count(*) FROM labels WHERE rank = 0 AND received_ns >= ? GROUP BY anomalous",
            (received_ns,),
        ).fetchall()
    )
    counts = {(0, 1): 0.0, (1, 0): 0.0, (1, 1): 0.0}
    rows = database.execute(
        """SELECT rank, class, called, count(*) FROM (
            SELECT max(rank) AS rank, max(class) AS class, max(score) >= ? AS called
            FROM windows WHERE time_ns >= ? AND class >= 0 GROUP BY key)
        WHERE class OR called GROUP BY rank, class, called""",
        (threshold, time_ns),
    )
    for rank, anomalous, called, count in rows:
        counts[anomalous, called] += count / 2 if rank == ruled else count
    return Verdicts(feedback.get(1, 0), feedback.get(0, 0), counts[1, 1], counts[0, 1], counts[1, 0])
