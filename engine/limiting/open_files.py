"""Open files: how many this process may have, and what follows where they are few."""

from __future__ import annotations

import errno
import resource

MOST = 65_536
"""More than any setting needs."""
SPARE = 128
"""Descriptors beside the two of each copy in flight: log, DB, sockets to Salesforce, the interpreter's own."""


def raise_limit() -> None:
    """Raise the soft limit as far as a user may; where the system refuses, the old one stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return


def limit() -> int | None:
    """The soft limit; None: there is none."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def needed(copies: int) -> int:
    """Descriptors that so many copies at once may take."""
    return 2 * copies + SPARE


def copies_within(limit: int | None, wanted: int) -> int:
    """As many copies at once as wanted, or as the limit allows."""
    return wanted if limit is None else max(1, min(wanted, (limit - SPARE) // 2))


def none_left(error: BaseException | None) -> bool:
    """Whether an error, or its cause, says that this process or the machine has no open file left."""
    for _ in range(8):
        if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
            return True
        if error is None:
            return False
        error = getattr(error, "os_error", None) or error.__cause__ or error.__context__
    return False
