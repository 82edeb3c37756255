"""Which windows a full training store drops: from the fullest class, there from the fullest stretch of time."""

import heapq
import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Literal

from foundation.content_ids import digest

Cell = tuple[int, int]
"""A class (-1: without a label, 0: normal, 1: anomalous) and a stretch of time."""


def priority(name: bytes) -> int:
    """A number that is as good as drawn, and the same whenever it is asked for; fits SQLite's integers."""
    return int.from_bytes(digest(name, 8, person=b"reservoir"), "big") >> 1


def trim(database: sqlite3.Connection, max_windows: int) -> None:
    """Drops windows until there are `max_windows`; of a cell those with the highest priority."""
    rows = database.execute("SELECT class, slot, count(*) FROM windows GROUP BY class, slot")
    cells = {(kind, slot): count for kind, slot, count in rows}
    for (kind, slot), count in surplus(cells, max_windows).items():
        database.execute(
            """DELETE FROM windows WHERE id IN
            (SELECT id FROM windows WHERE class = ? AND slot = ? ORDER BY priority DESC, id DESC LIMIT ?)""",
            (kind, slot, count),
        )


def surplus(cells: Mapping[Cell, int], room: int) -> Counter[Cell]:
    """How many windows each cell has to give up so that `room` are left.

    One at a time from the fullest class's fullest stretch; of equals from those without a label
    before normal before anomalous ones, and from the older stretch.
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


def drop_oldest(database: sqlite3.Connection, table: Literal["labels", "classes"], most: int) -> None:
    """Leaves `most` rows at the most of what was said; those received first go first."""
    (count,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()
    database.execute(
        f"""DELETE FROM {table} WHERE (key, rank) IN
        (SELECT key, rank FROM {table} ORDER BY received_ns, time_ns, key LIMIT ?)""",
        (max(0, count - most),),
    )
