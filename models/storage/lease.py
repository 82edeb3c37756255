"""A lease on a model: only one coordinator at a time publishes its versions."""

import json

from models.storage.store_backends import Folder

LEASE_S = 60.0
"""Life of a lease that is not renewed; longer than any pause of a running coordinator."""

_FILE = "lease"


def take_lease(folder: Folder, name: str, holder: str, now_ns: int) -> str | None:
    """Take or renew a lease.

    A storage without locks (an object store) lets two programs take it at the same moment; the later one then holds it,
    and the other one notices at its next renewal.

    Args:
        folder: Files of the model store.
        name: Name of the model.
        holder: Identifies the program; the same after its restart.
        now_ns: Wall clock; of several machines, their clocks should differ by less than `LEASE_S`.

    Returns:
        The other holder whose lease has not ended; None if it is this one's now.

    Raises:
        OSError: the store cannot be read or written.
    """
    path = f"{name}/{_FILE}"
    with folder.locked(name):
        try:
            lease = json.loads(folder.read(path)) if folder.exists(path) else {}
            other, until_ns = str(lease.get("holder", holder)), int(lease.get("until_ns", 0))
        except (ValueError, AttributeError, TypeError):  # a damaged file is nobody's lease
            other, until_ns = holder, 0
        if other != holder and until_ns > now_ns:
            return other
        until_ns = now_ns + int(LEASE_S * 1e9)
        folder.replace(path, json.dumps({"holder": holder, "until_ns": until_ns}).encode())
    return None
