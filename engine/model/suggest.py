"""The known name that was most likely meant by an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 100
"""Characters that are compared: a longer text is not a misspelt name, and takes long."""


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The most similar known name; None where none is similar."""
    return next(iter(difflib.get_close_matches(name[:_LONGEST], list(known), n=1, cutoff=cutoff)), None)
