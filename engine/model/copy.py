"""A copy that the tracking DB claims, and what may be wrong with it. Values only."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class ProvedCopy(NamedTuple):
    """A copy as the tracking DB recorded it when it was proved. A tuple: there are millions."""

    key: str
    size: int
    etag: str
    """Of our object, without quotes; empty where none is known."""
    checksum: str
    """``algorithm:hex`` over the whole object; empty where none is known."""
    proof: str


class CopyFault(StrEnum):
    """Why a copy is not as recorded, or no longer that of its source."""

    MISSING = "missing"
    DIFFERS = "differs"
    SOURCE_CHANGED = "source_changed"
    SOURCE_GONE = "source_gone"
    """The copy stands, and is the only one left."""
    ARCHIVED = "archived"
    """The copy stands, and cannot be opened: it lies in an archive class."""
    EXPIRING = "expiring"
    """The same, but for a restored copy that can be opened for some days."""
    UNKNOWN = "unknown"
    """The store did not say: access is denied, or every try failed."""


CLOSED = frozenset({CopyFault.ARCHIVED, CopyFault.EXPIRING})
"""Faults of a copy that is as recorded and cannot be opened, or not for long."""


class Problem(NamedTuple):
    """What is wrong with a copy. ``message`` is for a person."""

    fault: CopyFault
    message: str
