"""The twelve kinds of incident, their three sizes and their five places.

A kind says how much happens: how many events, and over how many rows of the log they are spread.
What an event looks like is the background's affair (`bench.incidents.idioms`).
"""

from dataclasses import dataclass

PLACES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Where an incident begins, as a share of the rows of `now`."""
SIZES = ("small", "medium", "large")
NONE = "none"
"""The kind of a run without an incident."""


@dataclass(frozen=True, slots=True)
class IncidentKind:
    """How much of an incident happens.

    Attributes:
        description: One phrase.
        counts: Events (inserted, copied or edited lines, or missing ticks) by size.
        gap: Rows of the log for each event, so that it takes `count * gap` rows.
        factors: By what values are multiplied, by size, where values are edited.
        share: The span as a share of all rows of `now`, in place of `gap`; events then come ever faster.
    """

    description: str
    counts: tuple[int, int, int]
    gap: float = 2.0
    factors: tuple[float, float, float] = (1.0, 1.0, 1.0)
    share: float | None = None


KINDS: dict[str, IncidentKind] = {
    "new_error": IncidentKind("an error that the log has never shown", (3, 12, 48), 4),
    "error_burst": IncidentKind("a known error, many times in a short time", (15, 50, 150), 2),
    "http_5xx": IncidentKind("one endpoint answers 502 and 504", (12, 40, 150), 3),
    "latency": IncidentKind("one template takes longer than usual", (30, 80, 200), 0, (3.0, 6.0, 15.0)),
    "heartbeat": IncidentKind("a periodic line stops", (4, 8, 16), 0),
    "crash_loop": IncidentKind("a process starts, fails and starts again", (3, 8, 20), 12),
    "disk_full": IncidentKind("no space is left on a device", (3, 10, 40), 4),
    "oom": IncidentKind("a process is killed for memory, or reports that it has none", (1, 3, 8), 30),
    "brute_force": IncidentKind("one address tries many passwords", (25, 80, 250), 1),
    "retry_leak": IncidentKind("a known retry comes more and more often", (40, 100, 250), 0, share=0.4),
    "config_reload": IncidentKind("a changed configuration is refused", (1, 2, 5), 40),
    "odd_node": IncidentKind("one host of many behaves otherwise, with known lines", (20, 60, 200), 2),
}
