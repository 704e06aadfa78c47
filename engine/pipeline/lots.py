"""Lots: which files go out next, together, and to whom. Decided without I/O.

| files                                     | what becomes of them                                                   |
|-------------------------------------------|------------------------------------------------------------------------|
| new ones                                  | a lot of so many files, and so many bytes, at most                     |
| whose source is in a lot that is out      | they wait until that lot is back: one source is read once              |
| of a lost worker                          | the same lot goes out again, before anything new, three times in all   |
| of a lot that was lost three times        | each goes out alone, to a worker that has nothing else in hand         |
| lost alone                                | given up                                                               |
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from engine.model.byte_units import MIB
from engine.model.plan import Look, Plan, Work
from engine.pipeline.crew import MOST_WAITING

TRIES = 3
"""How often a lot is handed out whole."""


@dataclass(frozen=True, slots=True)
class BatchSize:
    """What one batch holds at most."""

    files: int
    nbytes: int

    def of(self, work: Work) -> int:
        """Bytes to reckon with. Where nobody knows, as many as fill both limits together."""
        told = work.known if isinstance(work, Look) else work.pinned
        return self.nbytes // self.files if told is None or told.size is None else told.size

    @classmethod
    def read(cls, files: int, mib: int) -> BatchSize:
        """``executor.lease_files`` and ``executor.lease_mb``."""
        return cls(files, mib * MIB)


@dataclass(slots=True)
class Lot:
    """Files that go out together."""

    works: Sequence[Work]
    lost: int = 0
    """How often it went out whole and was lost."""

    @property
    def alone(self) -> bool:
        """One file, under suspicion of having lost its workers."""
        return self.lost >= TRIES


class Lots:
    """All files at hand."""

    def __init__(self, size: BatchSize) -> None:
        self.out = 0
        """Lots that are out."""
        self._size = size
        self._ready: deque[Work] = deque()
        self._again: deque[Lot] = deque()
        self._held: dict[int, list[Work]] = {}
        """By source: files that wait for a lot with the same source."""
        self._waiting = 0
        """How many these are."""
        self._asked: set[int] = set()
        """Sources in the lots that are out, or will be again."""
        self._at: Counter[str] = Counter()
        """By worker: lots that it has."""
        self._alone: set[str] = set()
        """Workers that have a file alone."""

    def add(self, works: Iterable[Work]) -> None:
        """New ones, in their order."""
        self._ready.extend(works)

    @property
    def has_room(self) -> bool:
        """Whether more should be added."""
        return len(self._ready) < 2 * self._size.files and self._waiting < MOST_WAITING

    def __len__(self) -> int:
        """Files that are not out."""
        return len(self._ready) + self._waiting + sum(len(lot.works) for lot in self._again)

    def any_for(self, worker: str) -> bool:
        """Whether ``next`` has something for it."""
        if worker in self._alone:
            return False
        if self._again:
            return not (self._again[0].alone and self._at[worker])
        return bool(self._ready)

    def next(self, worker: str) -> Lot | None:
        """What goes out to this worker now; None: nothing, all that was ready waits for its source."""
        lot = self._again.popleft() if self._again else self._cut()
        if not lot.works:
            return None
        self.out += 1
        self._at[worker] += 1
        if lot.alone:
            self._alone.add(worker)
        return lot

    def _cut(self) -> Lot:
        works, here, size, most = list[Work](), set[int](), 0, self._size
        while self._ready and len(works) < most.files and (not works or size < most.nbytes):
            work = self._ready.popleft()
            if work.source_id in self._asked and work.source_id not in here:
                self._hold(work)
                continue
            size += most.of(work)
            here.add(work.source_id)
            self._asked.add(work.source_id)
            works.append(work)
        return Lot(works)

    def _hold(self, work: Work) -> None:
        self._held.setdefault(work.source_id, []).append(work)
        self._waiting += 1

    def return_unused(self, lot: Lot, worker: str) -> None:
        """The worker was gone before it got it."""
        self._is_in(worker)
        self._again.appendleft(lot)

    def _is_in(self, worker: str) -> None:
        self.out -= 1
        self._at[worker] -= 1
        self._alone.discard(worker)

    def back(self, lot: Lot, worker: str, lost: Sequence[Work] = ()) -> Work | None:
        """It is no longer out: who waited for its sources may go. ``lost``: the part of it that did not come to an end;
        it goes out again, but for the file that this returns: it is given up."""
        self._is_in(worker)
        given_up = self._once_more(lot, lost)
        left = () if given_up else lost
        for source_id in {work.source_id for work in lot.works}.difference(work.source_id for work in left):
            self._asked.discard(source_id)
            freed = self._held.pop(source_id, [])
            self._waiting -= len(freed)
            self._ready.extendleft(reversed(freed))
        return given_up

    def _once_more(self, lot: Lot, lost: Sequence[Work]) -> Work | None:
        if not lost:
            return None
        if lot.alone:
            return lost[0]
        works = [replace(work, repeated=True) if isinstance(work, Plan) else work for work in lost]
        if lot.lost + 1 < TRIES:
            self._again.append(Lot(works, lot.lost + 1))
            return None
        first: set[int] = set()
        for work in works:
            if work.source_id in first:
                self._hold(work)
            else:
                first.add(work.source_id)
                self._again.append(Lot([work], TRIES))
        return None
