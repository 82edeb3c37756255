"""Which version the engine does not take over, remembered beyond its restart.

One small file in the recovery folder, shared by the region's processes: whichever of them refused a version
or took it back, after a restart all of them go on with the version before it.
"""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from foundation import durable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RejectedVersion:
    """A version that was refused or rolled back, and the one that serves in its place."""

    model: str
    version: int
    instead: int


class RejectedVersions:
    """Keeps at most one; a disk that fails costs the memory of it, which is logged, and nothing else."""

    def __init__(self, path: Path | None = None, model: str = "") -> None:
        """Reads what an earlier start left of this model in the file; without a file nothing outlives the process."""
        self._path = path
        found = None if path is None else _read(path)
        self.rejected = found if found is not None and found.model == model else None

    def keep(self, rejected: RejectedVersion | None) -> None:
        """Remembers this one alone; None forgets."""
        if rejected == self.rejected:
            return
        self.rejected = rejected
        if self._path is None:
            return
        try:
            if rejected is None:
                self._path.unlink(missing_ok=True)
            else:
                durable.write(self._path, json.dumps(asdict(rejected)).encode())
        except OSError as error:
            log.error("%s cannot be written, so a restart forgets this rejection (%s): %s", self._path, rejected, error)


def _read(path: Path) -> RejectedVersion | None:
    try:
        document = json.loads(path.read_text("utf-8"))
        return RejectedVersion(str(document["model"]), int(document["version"]), int(document["instead"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.error("%s cannot be read, so a version that was rolled back may serve again: %s", path, error)
        return None
