"""Links changed: journal, read, compare, write, settle. The same for a switch and for its undo.

Each slice of up to 200 records goes its way by itself, four of them side by side, never two with one account:

1. every pair of links is committed to the journal as intended (I3);
2. the records are read, and only those that hold exactly the expected link stay in;
3. those are written at once: an edit is only overwritten where it falls within that very round trip;
4. whatever answer leaves a record open is settled by reading it again, never by guessing. Where Salesforce may still
   be at the write, a record that does not hold the new link stays in doubt, until that is over (``doubts.py``);
5. the outcomes are committed together with the records' rows, and with what the lane intends next.

The next read of a lane also checks what it has just written. Another value there, last changed by our own user, was
made by the org of ours: it is ours to undo, and a switch sends no more behind it. By another user it is an edit.
Records that were locked are retried after a pause, at the end of their window. Where automation fails on all records of
a batch alike, it is retried in batches of 50, 10, 1. Those in doubt come last.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from engine.limiting.backoff import delays
from engine.limiting.clock import Clock
from engine.model.change import Change, Event, Held, LinkState, Open, Step
from engine.model.errors import EngineError, Fatal, Transient
from engine.pipeline.doubts import Doubtful, sent_within, wait_out
from engine.pipeline.link_endings import SWITCH, UNDO, Endings, made_by_org
from engine.pipeline.link_writes import LinkStore, LinkWrites, silent
from engine.pipeline.stop import Stop
from engine.pipeline.switching import LANES, SLICE, SMALLER, WINDOW, Counts, lanes, link_state, slices

UNCLEAR = 2 * LANES
"""Writes in a row without any clear answer: no more are sent until it is known what became of these."""


class Steps(Protocol):
    """The journal: durable when it returns."""

    async def append(self, steps: Sequence[Step]) -> None: ...

    async def flush(self) -> None:
        """Wait until nothing is being written."""


@dataclass(frozen=True, slots=True)
class ChangePolicy:
    """How links are changed. ``undo``: from ours to the original; otherwise from the original to ours."""

    undo: bool = False
    strict: bool = False
    attempts: int = 5
    at_once: int = LANES
    """Writes under way, at most LANES."""
    size: int = SLICE
    """Records in a write, at most SLICE."""
    settle_after_s: float = 600.0
    """How long Salesforce may go on with a write that has no clear answer."""

    @property
    def lanes(self) -> int:
        return max(1, min(LANES, self.at_once))

    @property
    def slice_size(self) -> int:
        return max(1, min(SLICE, self.size))


@dataclass(slots=True)
class Lane:
    """What a lane has just done."""

    written: list[Change] = field(default_factory=list)
    """And not checked yet."""
    ended: list[Step] = field(default_factory=list)
    """And not committed: it goes in with what the lane does next, without a pause between."""


class Changing:
    """Changes links in one direction. ``on_counts`` gets the counts of the wave whenever they have grown, ``say`` a
    line for a person."""

    def __init__(
        self,
        links: LinkStore,
        journal: Steps,
        clock: Clock,
        stop: Stop,
        policy: ChangePolicy,
        on_counts: Callable[[Counts], None] = lambda _counts: None,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._links = links
        self._journal = journal
        self._clock = clock
        self._stop = stop
        self._policy = policy
        self.endings = Endings(UNDO if policy.undo else SWITCH, policy.attempts)
        self._writes = LinkWrites(links, clock, self.endings, strict=policy.strict)
        self._on_counts = on_counts
        self._say = say
        self._doubts: list[Doubtful] = []
        self._put_off: list[Change] = []
        """Beside a change in doubt: Salesforce may still hold their account. Or behind too many writes in doubt."""
        self._unclear = 0
        """Writes in a row, up to now, that brought no clear answer."""
        self._halted = False
        self.counts = Counts()
        """Since ``take_counts``."""

    @property
    def unseen_s(self) -> float:
        """``LinkWrites.unseen_s``, and no less than what is in doubt has lasted so far."""
        now = self._clock.monotonic()
        open_s = (0.0 if self._policy.strict else now - doubt.asked_at for doubt in self._doubts)
        return max(self._writes.unseen_s, *open_s, 0.0)

    @property
    def stubborn(self) -> int:
        """Records that wait for another try after several that met a lock, or that are in doubt once more."""
        again = sum(each.tries > each.locked + each.contended for each, *_ in self._doubts)
        return self.endings.retries.stubborn + again

    @property
    def _holds(self) -> bool:
        return self._unclear >= UNCLEAR

    def take_counts(self) -> Counts:
        """What was counted so far; from now on it is counted anew."""
        counts, self.counts = self.counts, Counts()
        return counts

    async def run(self, windows: AsyncIterator[Sequence[Change]]) -> None:
        """Change them all, unless a stop is asked for. Raises Paused and other Fatal; the journal knows what is open.

        Returns, or raises, only between slices: nothing is in flight, unless it is cancelled.
        """
        async for window in windows:
            await self._side_by_side(window, self._policy.lanes, self._policy.slice_size)
            await self._retry()
            while (self._holds or len(self._doubts) + len(self._put_off) > WINDOW) and not self._stop.requested:
                await self._settle_doubts()
            if self._stop.requested:
                break
        while self._doubts and not self._stop.requested:
            await self._settle_doubts()

    async def _side_by_side(self, changes: Sequence[Change], at_once: int, size: int) -> None:
        shared = lanes(changes, lambda change: change.account, at_once)
        await _all([asyncio.ensure_future(self._lane(lane, size)) for lane in shared])

    async def _lane(self, changes: Sequence[Change], size: int) -> None:
        lane = Lane()
        try:
            for part in slices(changes, size):
                if self._stop.requested or self._halted:
                    break
                if free := self._free(part):
                    await self._slice(free, lane)
            await self._check_last(lane)
        except Fatal:
            self._halted = True
            with suppress(EngineError):  # what the org has made of the last slice is worth knowing all the same
                await self._check_last(lane)
            raise

    def _free(self, part: Sequence[Change]) -> Sequence[Change]:
        """Those that are not of an account at which Salesforce may still be at work. The others are put off."""
        if self._holds:
            self._put_off += part
            return []
        if not self._doubts:
            return part
        held = {doubt.change.account for doubt in self._doubts} - {""}
        self._put_off += [change for change in part if change.account in held]
        return [change for change in part if change.account not in held]

    async def _retry(self) -> None:
        """What was locked, or in doubt and then found undone; in no more lanes than there are full slices."""
        while self.endings.retries and not self._stop.requested:
            batch = self.endings.retries.take()
            if tries := max(change.tries for change in batch):
                await self._clock.sleep(self._pause_s(tries))
            size = min(self._policy.slice_size, SMALLER[min(batch[0].contended, len(SMALLER) - 1)])
            await self._side_by_side(batch, min(self._policy.lanes, -(-len(batch) // SLICE)), size)

    async def _settle_doubts(self) -> None:
        """Wait until Salesforce cannot be at the first of them any more, read what they hold, and go on with what was
        put off because of them."""
        now, first = self._clock.monotonic, min(doubt.until for doubt in self._doubts)
        await wait_out(lambda: first - now(), len(self._doubts), self._clock, self._stop, self._say)
        if self._stop.requested:
            return
        due = [doubt for doubt in self._doubts if doubt.until <= now()]
        counts, after = Counts(), self.endings.direction.after
        for part in slices(due):
            try:
                held = await self._links.read([doubt.change.id for doubt in part])
            except Transient as error:
                raise silent(error) from error
            steps = []
            for change, said, asked_at, _ in part:
                step = self.endings.found_after(change, said, held[change.id], counts)
                if step.link_state is after or step.by_org:
                    self._writes.unseen(asked_at)
                steps.append(step)
            await self._journal.append(steps)
            self._doubts = [doubt for doubt in self._doubts if doubt not in part]
        self._count(counts)
        self.endings.retries.put_back(self._put_off)
        self._put_off, self._unclear = [], 0
        await self._retry()

    def _pause_s(self, tries: int) -> float:
        """Longer with every try, and never the same for two."""
        return next(islice(delays(self._clock.random), tries - 1, None))

    async def _slice(self, part: Sequence[Change], lane: Lane) -> None:
        begun = self._clock.monotonic()
        await self._commit(lane, [self.endings.intended(change) for change in part])
        counts = Counts()
        asked_at = self._clock.monotonic()
        try:
            held = await self._links.read([c.id for c in part] + [c.id for c in lane.written])
        except (Transient, Fatal) as error:
            await self._journal.append([self.endings.not_sent(change, error) for change in part])
            raise (silent(error) if isinstance(error, Transient) else error) from error
        steps = self._changed_since(lane, held, counts)
        to_write: list[Change] = []
        for change in part:
            now = held[change.id]
            # the one rule of every write: only a record that holds exactly what we expect is touched
            if link_state(now, change.old, change.new) is self.endings.direction.before:
                to_write.append(change)
            else:
                steps.append(self.endings.found(change, now, counts))
        if counts.rewritten and not self._policy.undo:
            steps += [self.endings.not_sent(change, "the org changes what is written") for change in to_write]
            to_write = []
        while self._clock.monotonic() - begun > sent_within(self._policy.settle_after_s):
            # whoever finds these intents goes by their time; where the bucket is slow, this takes a while too
            begun = self._clock.monotonic()
            await self._journal.append([self.endings.intended(change) for change in to_write])
        written = await self._writes.write(to_write, held, counts, asked_at)
        until = self._clock.monotonic() + self._policy.settle_after_s
        self._doubts += [Doubtful(change, said, asked_at, until) for change, said in written.doubtful]
        if to_write:
            self._unclear = self._unclear + 1 if len(written.doubtful) == len(to_write) else 0
        lane.written, lane.ended = written.done, steps + written.steps
        if written.stopping is not None:
            await self._commit(lane)
        self._count(counts)
        if written.stopping is not None:
            raise written.stopping

    async def _commit(self, lane: Lane, next_steps: Sequence[Step] = ()) -> None:
        steps, lane.ended = [*lane.ended, *next_steps], []
        if steps:
            await self._journal.append(steps)

    def _changed_since(self, lane: Lane, held: dict[str, Held | None], counts: Counts) -> list[Step]:
        """Records that were written a moment ago and hold something else by now."""
        steps, after = [], self.endings.direction.after
        for change in lane.written:
            now = held[change.id]
            where = link_state(now, change.old, change.new)
            if where is not after:
                steps.append(self.endings.changed_since(change, now, where, counts))
        lane.written = []
        return steps

    async def _check_last(self, lane: Lane) -> None:
        await self._commit(lane)
        if not lane.written:
            return
        counts = Counts()
        try:
            held = await self._links.read([change.id for change in lane.written])
        except EngineError:
            # they are confirmed already; this read only finds what triggers or users made of them since
            lane.written = []
            return
        await self._journal.append(self._changed_since(lane, held, counts))
        self._count(counts)

    def _count(self, counts: Counts) -> None:
        self.counts.add(counts)
        self._on_counts(self.counts)


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for all, whatever one of them raises: a slice in flight is brought to its end. Then raise what was first."""
    if not tasks:
        return
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    errors = [error for task in tasks if (error := task.exception()) is not None]  # asked of all: else they tell it
    if errors:
        raise errors[0]


async def settle(
    links: LinkStore, journal: Steps, opened: Sequence[Open], over: Callable[[Open], bool] = lambda _open: True
) -> tuple[Counter[LinkState], list[Open]]:
    """Read every change that was intended and never confirmed, and write down where its link stands. Returns that, and
    those that stay open: Salesforce may still be at them, since it is not ``over``."""
    found: Counter[LinkState] = Counter()
    doubtful: list[Open] = []
    for part in slices(opened, 2_000):
        ended = {change.id for change in part if over(change)}  # before the read
        held = await links.read([change.id for change in part])
        steps = []
        for change in part:
            now = held[change.id]
            where = link_state(now, change.old, change.new)
            if change.id not in ended and where is not (UNDO if change.undo else SWITCH).after:
                doubtful.append(change)
                continue
            if where is LinkState.EDITED and now is not None and now.by_us_since(change.at):
                found[LinkState.OURS] += 1
                steps.append(made_by_org(change, now, undo=change.undo))
                continue
            found[where] += 1
            edited, message = "", "found after a run that was cut short"
            if now is not None and where is LinkState.EDITED:
                edited, message = now.url, "; ".join(filter(None, [message, now.last_by]))
            steps.append(
                Step(change.id, change.old, change.new, Event.SETTLED, change.wave, where, message, edited,
                     undo=change.undo)
            )  # fmt: skip
        await journal.append(steps)
    return found, doubtful
