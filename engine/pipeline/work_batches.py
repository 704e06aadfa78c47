"""What crosses between the run and its workers: batches of work out, results and signs of life back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from engine.model.errors import Fatal
from engine.model.outcome import Attempt, Looked, Outcome
from engine.model.plan import Work
from engine.model.value import value
from engine.pipeline.duplicates import Found
from engine.pipeline.routes import RouteKnown
from engine.pipeline.seen import Seen


@value
class Share:
    """What one worker may do to the hosts, of what the whole run may."""

    most: int
    """Requests in flight, per host."""
    workers: int = 1
    """Among so many the bandwidth is shared out."""


@value
class WorkBatch:
    """Files for one worker."""

    number: int
    works: list[Work]
    share: Share
    findings: list[tuple[int, Found]]
    """What the run knows of the sources in it."""
    routes: list[RouteKnown]
    allowance: int | None = None
    """How many looks may become copies; None: all."""


@dataclass(slots=True)
class Beat:
    """A sign of life, about once a second. Tries that failed travel with it, ahead of the outcome they belong to."""

    seen: Seen
    attempts: list[Attempt] = field(default_factory=list)
    logs: list[dict[str, object]] = field(default_factory=list)
    """Events of its log, from warnings up."""


@dataclass(slots=True)
class WorkResult:
    """What became of a batch. What is in no end did not come to one, because a stop was asked for, the worker gave up,
    or something must end the run."""

    ends: list[tuple[int, Outcome | Looked]] = field(default_factory=list)
    """By place in the batch."""
    attempts: list[Attempt] = field(default_factory=list)
    """Tries that failed, as far as no sign of life has told them."""
    findings: list[tuple[int, Found]] = field(default_factory=list)
    routes: list[RouteKnown] = field(default_factory=list)
    retries: int = 0
    """Tries that leave no attempt."""
    unspent: int = 0
    """Of the allowance."""
    remarks: list[str] = field(default_factory=list)
    """What the report should tell."""
    fatal: Fatal | None = None
    """What must end the run."""


class Lost(Exception):
    """The worker is gone, and with it whatever it had in hand."""


class NotBegun(Lost):
    """The worker had gone before the batch came to it."""


class Seat(Protocol):
    """Room for one batch at a worker."""

    @property
    def worker(self) -> str:
        """A name for people."""
        ...

    async def do(self, batch: WorkBatch) -> WorkResult:
        """What is in no end of the result was not begun, or was cut. Raises Lost, NotBegun."""
        ...


class Told(Protocol):
    """Hears of the workers."""

    def beat(self, worker: str, beat: Beat) -> None:
        """A sign of life."""

    def gone(self, worker: str) -> None:
        """It has left, or was lost."""


class Executor(Protocol):
    """The workers of a run."""

    @property
    def count(self) -> int:
        """Workers that are expected to be there."""
        ...

    def seats(self, told: Told) -> AsyncIterator[Seat]:
        """Seats as workers come up, again and again: a lost one is replaced where that can be. Raises Fatal where none
        will come any more."""
        ...

    async def stop(self) -> None:
        """Ask the workers to end: files in hand may finish within the drain limit, then every batch comes back."""
        ...
