"""Stand-ins and what is measured on cores of their own, where there are cores enough."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def apart(stand_ins: Collection[int]) -> Iterator[str]:
    """For the length of the block each of these processes has a core, and children of this one share the others.

    Yields what was done, for the head of a table. Nothing is done where fewer than two cores would be left.
    """
    cores = sorted(os.sched_getaffinity(0))
    left = cores[len(stand_ins) :]
    if len(left) < 2:
        yield f"all on {len(cores)} cores"
        return
    for pid, core in zip(stand_ins, cores, strict=False):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
    os.sched_setaffinity(0, left)
    try:
        yield f"{len(left)} cores for the engine, one for each stand-in"
    finally:
        os.sched_setaffinity(0, cores)
