"""Keeping freed memory in the process, where the C library allows it."""

import ctypes
import platform

# malloc.h of the GNU C library.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> None:
    """Makes malloc reuse large blocks instead of giving each back to the system when it is freed.

    Every film and feature map is a block so large that the GNU C library maps it anew and unmaps
    it again by default, and each time the system clears its pages one by one. No other C library
    is touched. Peak memory is the same; what is freed stays with the process until it ends.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(_TOP_PAD, 64 * 2**20)
