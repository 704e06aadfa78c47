"""What a person asks of a rollback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.model.command import Command
from engine.runs.shared.bounds import RunFlags


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackOptions:
    """What the command line asks for; None: not given."""

    flags: RunFlags
    file: Path | None = None
    """The rollback file; None: from the tracking DB, or the bucket."""
    from_bucket: bool = False
    journal: str | None = None
    """With ``from_bucket``: the journal there that is meant."""
    run: int | None = None
    wave: int | None = None
    ids: Path | None = None
    since: str | None = None
    yes: bool = False
    force: bool = False
    strict: bool = False

    @property
    def needs_no_database(self) -> bool:
        return self.file is not None or self.from_bucket

    def again(self, *, force: bool = False) -> Command:
        """The command that puts back, or goes on with it. ``force``: although old links are dead."""
        more = " --force" if force and not self.force else ""
        return Command(f"run rollback{self.flags.repeated} --execute{more}")
