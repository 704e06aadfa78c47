"""The process itself: garbage collector, allocator and limit of open files, fit for hours and a million files."""

from __future__ import annotations

import ctypes
import gc

from engine.limiting.open_files import raise_limit
from engine.model.byte_units import MIB

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def tune_process() -> None:
    """Call once, before the event loop starts.

    A run makes dozens of short-lived values per file and hardly a cycle: with Python's default thresholds the collector
    took 40 µs per file and paused the loop for 100 ms; so, it looks twice in 200,000 files, for 18 ms each, and finds
    some 700 values. How long one look takes depends on how much is alive, not on the threshold.
    glibc gives every large buffer back to the kernel and fetches it again; keeping some halves the cost of a body
    of 100 kB. Other C libraries know no mallopt and are left as they are.
    """
    raise_limit()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, 256 * MIB)
        mallopt(_M_MMAP_THRESHOLD, 32 * MIB)
