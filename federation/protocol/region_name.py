"""What a region may be called; the name appears in messages, metrics, paths and the audit log."""

import re

from federation.errors import SetupError

REGION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""At most 64 characters, so that the name is safe as a file name, as a metric label and in a log line."""


def require_region_name(name: str) -> None:
    """Raise SetupError unless `name` is a valid region name."""
    if not REGION_NAME.fullmatch(name):
        raise SetupError(
            f"a region's name should have at most 64 letters, digits, '-', '_' and '.', and start with a letter or a "
            f"digit, got {name!r}"
        )
