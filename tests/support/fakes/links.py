"""An org in memory, as far as links go, and a journal that only listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from engine.model.change import Event, Held, Said, Sent, Step
from engine.model.errors import EngineError, Transient
from engine.model.failures import FailureClass

LOST = Transient(FailureClass.NETWORK, "the connection broke")


class FakeOrg:
    """Holds links by record; None: deleted. ``others``: records whose last change was not made by this login.
    ``on_write`` may change the answer to each write, or raise.

    It gets the number of the write (from 1), the changes and a function that carries them out.
    """

    def __init__(self, links: dict[str, str | None]) -> None:
        self.links = links
        self.others: set[str] = set()
        self.changed = "2026-11-22T10:00:00.000+0000"
        self.reads: list[list[str]] = []
        self.writes: list[list[str]] = []
        self.on_write: Callable[[int, Sequence[tuple[str, str]], Callable[[], list[Said]]], list[Said]] | None = None
        self.on_read: Callable[[int], None] | None = None
        self.after_write: Callable[[], None] | None = None

    async def read(self, ids: Sequence[str]) -> dict[str, Held | None]:
        self.reads.append(list(ids))
        await asyncio.sleep(0)  # others get their turn, as with a real org
        if self.on_read is not None:
            self.on_read(len(self.reads))
        return {each: self._held(each) for each in ids}

    def _held(self, record: str) -> Held | None:
        if (link := self.links[record]) is None:
            return None
        by_us = record not in self.others
        return Held(link, "stamp", "005us" if by_us else "005other", by_us, self.changed)

    async def write(self, changes: Sequence[tuple[str, str]]) -> list[Said]:
        assert len({record for record, _ in changes}) == len(changes)
        self.writes.append([record for record, _ in changes])

        def carry_out() -> list[Said]:
            self.links |= dict(changes)
            return [Said(Sent.DONE)] * len(changes)

        try:
            return carry_out() if self.on_write is None else self.on_write(len(self.writes), changes, carry_out)
        finally:
            if self.after_write is not None:
                self.after_write()

    async def write_strictly(self, changes: Sequence[tuple[str, str, str]]) -> list[Said]:
        return await self.write([(record, link) for record, link, _ in changes])


class FakeJournal:
    """Every step, and what was written to the org when it came."""

    def __init__(self, org: FakeOrg) -> None:
        self._org = org
        self.steps: list[Step] = []
        self.batches: list[int] = []
        """How many steps came at a time."""
        self.announced: set[str] = set()
        self.fails_at: int | None = None
        self.error: EngineError | None = None

    async def append(self, steps: Sequence[Step]) -> None:
        if self.error is not None and len(self.steps) >= (self.fails_at or 0):
            raise self.error
        self.steps += steps
        self.batches += [len(steps)] if steps else []
        self.announced |= {step.id for step in steps if step.event in {Event.INTENDED, Event.UNDO_INTENDED}}

    def of(self, record: str) -> list[str]:
        return [step.event.value for step in self.steps if step.id == record]

    def last(self, record: str) -> Step:
        return [step for step in self.steps if step.id == record][-1]
