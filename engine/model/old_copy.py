"""A row of the original scripts' tracking DB, as far as it can be understood. Values only."""

from __future__ import annotations

from typing import NamedTuple

from engine.model.failures import FailureClass

IMPORT = "import-legacy"
"""``run_type`` of a run that adopts what the original scripts did; its links count as those of a switch."""


class Old(NamedTuple):
    """What the original scripts wrote down of one record. A tuple: there are millions. Empty text: not known."""

    id: str
    """18 characters."""
    account_id: str
    account_name: str
    url: str
    """The link that the record held before."""
    key: str
    link: str
    """What the scripts wrote, or would have written, into the record: the key is not encoded in it."""
    name: str
    size: int | None
    sha256: str
    copied_at: str
    """UTC ISO."""
    modified: str
    """UTC ISO."""
    switched: bool
    """The scripts noted that they have moved the link."""
    updated: str
    """As it stands in the row: local time. Of two rows about one record, the later one counts."""
    source_id: int = 0
    refused: str = ""
    """Failure class: why the source, or the copy, cannot be looked at."""
    why: str = ""

    @property
    def failure(self) -> FailureClass:
        return FailureClass(self.refused)


class Unfit(NamedTuple):
    """A row that is about no record, or that no text can be made of."""

    kind: str
    """``bad_id``, ``bad_text``."""
    example: str
