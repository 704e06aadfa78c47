"""What helps a copy that lies in an archive class."""

from __future__ import annotations

from engine.model.command import Command

UNFREEZE = (
    "move the archived copies back to a class that opens at any time (restore each, then copy it onto itself), and end"
    " the lifecycle rule that archives them"
)
RESTORED = Command("run backup --incremental --retry-class archived")
"""Takes them up again."""
