"""One record in an analysis."""

from __future__ import annotations

from typing import NamedTuple

TO_COPY, DONE = "to_copy", "done"


class AnalyzedRecord(NamedTuple):
    """What a backup would do with one record. ``source_id`` 0: it names no file."""

    record_id: str
    account: str
    host: str
    fate: str
    """``to_copy``, ``done``, or the failure class that it would end with."""
    reason: str
    extension: str
    source_id: int
    bucket: str
    key_hash: int
    """Of the key that its copy has or would get; 0: none. ``folded_hash`` ignores the case of the key."""
    folded_hash: int
    url: str
    """Where the file is. It may carry a signature: never shown."""
    extra: str
    """The record's further fields, as JSON; empty where there are none."""
