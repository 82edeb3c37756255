"""Ports for programs on this machine that need them before they start."""

import collections
import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LINUX = (32_768, 60_999)
_FIRST, _LAST = 10_000, 65_535
_ROOM = 1_000

_given: collections.deque[int] = collections.deque(maxlen=_ROOM // 2)


def free_port(count: int = 1) -> int:
    """The first of `count` neighbouring ports on 127.0.0.1 that are free now.

    They lie outside the range from which the system serves connections and requests for any port: until they
    are used it gives them to no other program. This process is not soon given one of them again.

    Raises:
        OSError: there are not this many.
    """
    low, high = _system_range()
    outside = [port for port in range(_FIRST, _LAST + 2 - count) if port + count <= low or port > high]
    start = random.SystemRandom().randrange(len(outside) or 1)  # several processes may search at the same time
    for port in outside[start:] + outside[:start]:
        ports = range(port, port + count)
        if not any(p in _given for p in ports) and all(map(_is_free, ports)):
            _given.extend(ports)
            return port
    raise OSError(f"no {count} neighbouring ports are free on 127.0.0.1")


def _system_range() -> tuple[int, int]:
    """First and last of the ports that the system gives away; none of ours where it takes nearly all."""
    try:
        low, high = map(int, _RANGE.read_text().split())
    except (OSError, ValueError):  # no Linux, or a sandbox that does not show it
        low, high = _LINUX
    room = max(0, low - _FIRST) + max(0, _LAST - high)
    return (low, high) if room >= _ROOM else (_LAST + 1, _LAST + 1)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
