"""What somebody most likely meant by a name that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 100
"""Characters of it that are compared: what is longer is no misspelt name, and takes long."""


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that is most like it; None where none is."""
    return next(iter(difflib.get_close_matches(name[:_LONGEST], list(known), n=1, cutoff=cutoff)), None)
