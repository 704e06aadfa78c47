"""Where the ends of records go: to the recorder, or back to the run from a worker in another process."""

from __future__ import annotations

from typing import Protocol

from engine.model.outcome import Attempt, Looked, Outcome
from engine.pipeline.tally import Tally


class Ends(Protocol):
    """``Recorder`` fits, and ``Gathered`` of a worker."""

    @property
    def tally(self) -> Tally: ...

    @property
    def full(self) -> bool:
        """Whether ``room`` would wait."""
        ...

    def add(self, outcome: Outcome | Looked) -> None:
        """Take how one record ended."""

    def attempt(self, attempt: Attempt) -> None:
        """Take a try that failed and will be followed by another."""

    async def room(self) -> None:
        """Wait while too much was added that has not gone on."""
