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
from itertools import islice

from engine.limiting.backoff import delays
from engine.model.change import Change, Event, LinkState, Open, Step
from engine.model.errors import EngineError, Fatal
from engine.pipeline.doubts import wait_out
from engine.pipeline.link_endings import SWITCH, UNDO, made_by_org
from engine.pipeline.link_slices import Lane, Slices, Steps
from engine.pipeline.link_writes import LinkStore
from engine.pipeline.stop import Stop
from engine.pipeline.switching import LANES, SLICE, SMALLER, WINDOW, lanes, link_state, slices

UNCLEAR = 2 * LANES
"""Writes in a row without any clear answer: no more are sent until it is known what became of these."""


class Changing:
    """Shares links out, until all are changed. ``say`` gets a line for a person."""

    def __init__(self, slices: Slices, stop: Stop, say: Callable[[str], None] = lambda _text: None) -> None:
        self._slices = slices
        self._clock = slices.clock
        self._policy = slices.policy
        self._stop = stop
        self._say = say
        self._put_off: list[Change] = []
        """Beside a change in doubt: Salesforce may still hold their account. Or behind too many writes in doubt."""
        self._halted = False

    @property
    def _holds(self) -> bool:
        return self._slices.unclear >= UNCLEAR

    async def run(self, windows: AsyncIterator[Sequence[Change]]) -> None:
        """Change them all, unless a stop is asked for. Raises Paused and other Fatal; the journal knows what is open.

        Returns, or raises, only between slices: nothing is in flight, unless it is cancelled.
        """
        async for window in windows:
            await self._side_by_side(window, self._policy.lanes, self._policy.slice_size)
            await self._retry()
            while (self._holds or len(self._slices.doubts) + len(self._put_off) > WINDOW) and not self._stop.requested:
                await self._settle_doubts()
            if self._stop.requested:
                break
        while self._slices.doubts and not self._stop.requested:
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
                    await self._slices.change(free, lane)
            await self._slices.check_last(lane)
        except Fatal:
            self._halted = True
            with suppress(EngineError):  # what the org has made of the last slice is worth knowing all the same
                await self._slices.check_last(lane)
            raise

    def _free(self, part: Sequence[Change]) -> Sequence[Change]:
        """Those that are not of an account at which Salesforce may still be at work. The others are put off."""
        if self._holds:
            self._put_off += part
            return []
        if not self._slices.doubts:
            return part
        held = {doubt.change.account for doubt in self._slices.doubts} - {""}
        self._put_off += [change for change in part if change.account in held]
        return [change for change in part if change.account not in held]

    async def _retry(self) -> None:
        """What was locked, or in doubt and then found undone; in no more lanes than there are full slices."""
        while self._slices.endings.retries and not self._stop.requested:
            batch = self._slices.endings.retries.take()
            if tries := max(change.tries for change in batch):
                await self._clock.sleep(self._pause_s(tries))
            size = min(self._policy.slice_size, SMALLER[min(batch[0].contended, len(SMALLER) - 1)])
            await self._side_by_side(batch, min(self._policy.lanes, -(-len(batch) // SLICE)), size)

    async def _settle_doubts(self) -> None:
        """Wait until Salesforce cannot be at the first of them any more, read what they hold, and go on with what was
        put off because of them."""
        now, first = self._clock.monotonic, min(doubt.until for doubt in self._slices.doubts)
        await wait_out(lambda: first - now(), len(self._slices.doubts), self._clock, self._stop, self._say)
        if self._stop.requested:
            return
        await self._slices.settle_doubts()
        self._slices.endings.retries.put_back(self._put_off)
        self._put_off = []
        await self._retry()

    def _pause_s(self, tries: int) -> float:
        """Longer with every try, and never the same for two."""
        return next(islice(delays(self._clock.random), tries - 1, None))


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
