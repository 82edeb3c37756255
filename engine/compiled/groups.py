"""The groups of a header that have a meaning, and the slots in which a match leaves their places."""

from engine.formats.timestamps import DIGIT_GROUPS

NUMBERS = (*DIGIT_GROUPS, "status", "priority")
"""Groups that hold one run of digits."""

GROUPS = (
    *NUMBERS, "month_name", "utc", "zone_sign", "half_day",
    "message", "host", "component", "pid", "thread", "level", "piece", "key",
)  # fmt: skip

INDEX = {name: i for i, name in enumerate(GROUPS)}
SLOTS = {name: 2 * i for i, name in enumerate(GROUPS)}
"""Group → its first slot; the second follows it."""

MOST = 20
"""Groups that one format may have."""

PLACED = ("message", "host", "component", "pid", "thread")
"""Fields whose places go into `Rows.spans`, in this order."""
