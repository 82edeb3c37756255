"""Which windows a full training store drops: from the largest class, there from the fullest time slot."""

import heapq
import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Literal

from foundation.content_ids import digest

Cell = tuple[int, int]
"""A class (-1: without a label, 0: normal, 1: anomalous) and a time slot."""


def priority(name: bytes) -> int:
    """A pseudo-random number that is always the same for a name; fits SQLite's integers."""
    return int.from_bytes(digest(name, 8, person=b"reservoir"), "big") >> 1


def trim(database: sqlite3.Connection, max_windows: int) -> None:
    """Drop windows until `max_windows` are left; within a cell those with the highest priority."""
    rows = database.execute("SELECT class, slot, count(*) FROM windows GROUP BY class, slot")
    cells = {(kind, slot): count for kind, slot, count in rows}
    for (kind, slot), count in surplus(cells, max_windows).items():
        database.execute(
            """DELETE FROM windows WHERE id IN
            (SELECT id FROM windows WHERE class = ? AND slot = ? ORDER BY priority DESC, id DESC LIMIT ?)""",
            (kind, slot, count),
        )


def surplus(cells: Mapping[Cell, int], room: int) -> Counter[Cell]:
    """Number of windows to drop from each cell so that `room` are left.

    One at a time from the fullest slot of the largest class. Ties go to windows without a label, then to normal
    ones, then to anomalous ones, and to the older slot.
    """
    fullest: dict[int, list[tuple[int, int]]] = {}
    for (kind, slot), count in cells.items():
        fullest.setdefault(kind, []).append((-count, slot))
    for slots in fullest.values():
        heapq.heapify(slots)
    totals = Counter({kind: -sum(count for count, _ in slots) for kind, slots in fullest.items()})
    dropped: Counter[Cell] = Counter()
    for _ in range(totals.total() - room):
        kind = max(totals, key=lambda k: (totals[k], -k))
        count, slot = fullest[kind][0]
        heapq.heapreplace(fullest[kind], (count + 1, slot))
        totals[kind] -= 1
        dropped[kind, slot] += 1
    return dropped


def drop_oldest(database: sqlite3.Connection, table: Literal["labels", "classes"], limit: int) -> None:
    """Keep the newest `limit` rows, by the time when they were received."""
    (count,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()
    database.execute(
        f"""DELETE FROM {table} WHERE (key, rank) IN
        (SELECT key, rank FROM {table} ORDER BY received_ns, time_ns, key LIMIT ?)""",
        (max(0, count - limit),),
    )
