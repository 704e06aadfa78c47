"""How links are changed, decided without I/O: where a link stands, which go together, when to stop."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from engine.model.change import Held, Link, LinkState
from engine.model.errors import Differs, Paused

T = TypeVar("T")

SLICE = 200
"""Records in one write (sObject Collections)."""
LANES = 4
"""Writes under way at a time. No two lanes ever hold children of one account."""
WINDOW = 4_000
"""Records shared out among the lanes at a time."""
SMALLER = (SLICE, 50, 10, 1)
"""Records in one write by how often contention was the trouble: batches shrink until a bad record is alone."""
PATIENCE = 3
"""Tries at a lock before the record counts as locked for good, for the error budget and for the records beside it."""
COUNT_FROM = 50
"""Records of a wave before its drift is judged."""


def link_state(held: Held | None, old: str, new: str) -> LinkState:
    """Where a link stands, whatever was tried."""
    if held is None:
        return LinkState.GONE
    if held.url == new:
        return LinkState.OURS
    return LinkState.ORIGINAL if held.url == old else LinkState.EDITED


@dataclass(frozen=True, slots=True)
class Wave:
    """A slice of a plan: lines ``start`` to ``stop`` (exclusive), counted from 0. ``number`` is its place in
    ``switch.waves``, from 1."""

    number: int
    start: int
    stop: int

    @property
    def records(self) -> int:
        return self.stop - self.start


def waves(targets: Sequence[int | str], count: int) -> list[Wave]:
    """The waves of a plan with so many lines; targets are cumulative, waves without a line are left out.

    A share is rounded up, so that a small plan still has its canary.
    """
    found: list[Wave] = []
    done = 0
    for number, target in enumerate(targets, start=1):
        if isinstance(target, int):
            stop = min(target, count)
        else:
            stop = min(count, math.ceil(count * float(target.rstrip("%")) / 100 - 1e-9))
        if stop > done:
            found.append(Wave(number, done, stop))
            done = stop
    return found


def lanes(links: Iterable[T], account: Callable[[T], str], count: int = LANES) -> list[list[T]]:
    """Shared out so that an account stays in one lane; records without an account go wherever there is room."""
    shared: list[list[T]] = [[] for _ in range(count)]
    loose: list[T] = []
    for link in links:
        if name := account(link):
            shared[zlib.crc32(name.encode()) % count].append(link)
        else:
            loose.append(link)
    for link in loose:
        min(shared, key=len).append(link)
    return [lane for lane in shared if lane]


def slices(links: Sequence[T], size: int = SLICE) -> Iterator[Sequence[T]]:
    """Consecutive groups of up to ``size``."""
    return (links[start : start + size] for start in range(0, len(links), size))


def calls(links: Iterable[Link]) -> int:
    """Salesforce calls that moving these links takes when nothing goes wrong: a read and a write per slice, and a last
    look per lane."""
    per_lane = [0] * LANES
    total = 0
    for place, link in enumerate(links, start=1):
        per_lane[zlib.crc32(link.account.encode()) % LANES] += 1
        if place % WINDOW == 0:
            total += _calls(per_lane)
            per_lane = [0] * LANES
    return total + _calls(per_lane)


def _calls(per_lane: Sequence[int]) -> int:
    return sum(2 * -(-records // SLICE) + 1 for records in per_lane if records)


@dataclass(slots=True)
class Counts:
    """How the records of a wave, or of a run, ended."""

    done: int = 0
    """Moved by this run."""
    already: int = 0
    """Found where they should be."""
    edited: int = 0
    gone: int = 0
    failed: int = 0
    missing: int = 0
    """Not switched: their copy is not where it was."""
    archived: int = 0
    """Not switched: their copy cannot be opened."""
    stale: int = 0
    """Not touched: the tracking DB no longer says what the plan says; or, in a rollback, another switch has moved the
    link since."""
    rewritten: int = 0
    """Written, and right afterwards they held another value: automation of the org made it of ours."""

    @property
    def total(self) -> int:
        return sum(getattr(self, name) for name in self.__slots__)

    @property
    def unfit(self) -> int:
        """Not switched, because of their copy."""
        return self.missing + self.archived

    def add(self, other: Counts) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class DriftLimits:
    """``drift``: share of a wave that may have been edited or deleted, ``errors``: that may fail, or lack a copy that
    opens."""

    drift: float
    errors: float

    def verdict(self, counts: Counts, *, over: bool, waiting: int = 0) -> tuple[str, int] | None:
        """Why the run must stop here, with its exit code; None: it may go on. ``over``: the wave has ended.
        ``waiting``: records that were locked again and again, or are in doubt again, and have tries left."""
        if counts.rewritten:
            return f"{counts.rewritten:,} links were written, but the org changed them", Differs.exit_code
        seen = counts.total + waiting
        drifted = counts.edited + counts.gone
        if seen >= COUNT_FROM and drifted > self.drift * seen:
            why = f"{drifted:,} of {seen:,} records of this wave were edited or deleted since their backup"
            return f"{why}; switch.max_drift is {self.drift:.1%}", Differs.exit_code
        bad = counts.failed + counts.unfit + waiting
        if bad > self.errors * seen and (over or seen >= COUNT_FROM):
            lack = "lack a copy that opens"
            how = f"failed, {lack}, stay locked or are in doubt again" if waiting else f"failed or {lack}"
            why = f"{bad:,} of {seen:,} records of this wave {how}"
            return f"{why}; migration.error_budget is {self.errors:.1%}", Paused.exit_code
        return None
