"""Links on the move: journal, read, compare, write, settle. The same for a switch and for its undo.

Each slice of up to 200 records goes its way by itself, four of them side by side, never two with one account:

1. every pair of links is committed to the journal as intended (I3);
2. the records are read, and only those that hold exactly the expected link stay in;
3. those are written at once, so that nobody's edit fits in between but one within that very round trip;
4. whatever answer leaves a row open is settled by reading it again, never by guessing;
5. the outcomes are committed together with the records' rows, and with what the lane intends next.

The next read of a lane also looks once more at what the lane has just written: a trigger may have put something else
there. Records that were locked come back in smaller and smaller company, after a pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol

from engine.limiting.backoff import delays
from engine.limiting.clock import Clock
from engine.model.change import Event, Held, LinkState, Said, Sent, Step
from engine.model.errors import EngineError, Fatal, Paused, Refused, Transient
from engine.model.failures import FailureClass
from engine.pipeline.stop import Stop
from engine.pipeline.switching import LANES, SLICE, SMALLER, Counts, Move, decide, lanes, link_state, slices

STRICT_SLICE = 25


_UNSURE = (Sent.UNKNOWN, Sent.MOVED)


class LinkStore(Protocol):
    """Salesforce, as far as links go. ``salesforce/links.py`` says what the errors mean."""

    async def read(self, ids: Sequence[str]) -> dict[str, Held | None]: ...

    async def write(self, changes: Sequence[tuple[str, str]]) -> list[Said]: ...

    async def write_strictly(self, changes: Sequence[tuple[str, str, str]]) -> list[Said]: ...


class Steps(Protocol):
    """The journal: durable when it returns."""

    async def append(self, steps: Sequence[Step]) -> None: ...


class Change(NamedTuple):
    """One link to move. ``tries`` went before; ``crowd`` says how often its company was the trouble."""

    id: str
    account: str
    old: str
    new: str
    wave: int
    tries: int = 0
    crowd: int = 0

    def step(
        self,
        event: Event,
        where: LinkState | None,
        message: str = "",
        *,
        found: str = "",
        failure: FailureClass | None = None,
        undo: bool,
    ) -> Step:
        """A row of the journal about it. ``undo``: the link travels back."""
        return Step(self.id, self.old, self.new, event, self.wave, where, message, found, failure, undo)


@dataclass(slots=True)
class Lane:
    """What a lane has just done."""

    written: list[Change] = field(default_factory=list)
    """And not looked at again."""
    ended: list[Step] = field(default_factory=list)
    """And not committed: it goes in with what the lane does next, without a pause between."""


class Changing:
    """Moves links in one direction. ``undo``: from ours to the original; otherwise from the original to ours.

    ``at_once`` writes of up to ``size`` records each; the ceilings are LANES and SLICE.
    """

    def __init__(
        self,
        links: LinkStore,
        journal: Steps,
        clock: Clock,
        stop: Stop,
        *,
        undo: bool = False,
        strict: bool = False,
        attempts: int = 5,
        at_once: int = LANES,
        size: int = SLICE,
        on_counts: Callable[[Counts], None] = lambda _counts: None,
    ) -> None:
        self._links = links
        self._journal = journal
        self._clock = clock
        self._stop = stop
        self._undo = undo
        self._before, self._after = LinkState.ORIGINAL, LinkState.OURS
        self._intent, self._success = Event.INTENDED, Event.APPLIED
        if undo:
            self._before, self._after = self._after, self._before
            self._intent, self._success = Event.UNDO_INTENDED, Event.UNDONE
        self._strict = strict
        self._attempts = attempts
        self._lanes = max(1, min(LANES, at_once))
        self._size = max(1, min(SLICE, size))
        self._on_counts = on_counts
        self._again: list[Change] = []
        self._halted = False
        self.counts = Counts()
        """Of the wave; whoever starts the next one puts new ones here."""
        self.unseen_s = 0.0
        """The longest that lay between asking what records hold and the answer to their write: an edit within it was
        overwritten, unless the writes were strict."""

    async def run(self, windows: AsyncIterator[Sequence[Change]]) -> None:
        """Move them all, unless a stop is asked for. Raises Paused and other Fatal; the journal knows what is open.

        Returns, or raises, only between slices: nothing is in flight, unless it is cancelled.
        """
        async for window in windows:
            await self._window(window)
            if self._stop.requested:
                break
        await self._stragglers()

    async def _window(self, window: Sequence[Change]) -> None:
        shared = lanes(window, lambda change: change.account, self._lanes)
        tasks = [asyncio.ensure_future(self._lane(lane)) for lane in shared]
        await _all(tasks)

    async def _lane(self, changes: Sequence[Change]) -> None:
        lane = Lane()
        try:
            for part in slices(changes, self._size):
                if self._stop.requested or self._halted:
                    break
                await self._slice(part, lane)
            await self._look_again(lane)
        except Fatal:
            self._halted = True
            raise

    async def _stragglers(self) -> None:
        """What was locked, or in doubt and then found undone: one slice after the other."""
        while self._again and not self._stop.requested:
            self._again.sort(key=lambda change: (change.crowd, change.account, change.id))
            crowd = self._again[0].crowd
            batch = [change for change in self._again[:SLICE] if change.crowd == crowd]
            self._again = self._again[len(batch) :]
            await self._clock.sleep(self._pause_s(max(change.tries for change in batch)))
            lane = Lane()
            for part in slices(batch, min(self._size, SMALLER[min(crowd, len(SMALLER) - 1)])):
                if self._stop.requested:
                    break
                await self._slice(part, lane)
            await self._look_again(lane)

    def _pause_s(self, tries: int) -> float:
        """Longer with every try, and never the same for two."""
        return next(islice(delays(self._clock.random), tries - 1, None))

    async def _slice(self, part: Sequence[Change], lane: Lane) -> None:
        await self._commit(lane, [self._step(change, self._intent, None) for change in part])
        counts = Counts()
        asked_at = self._clock.monotonic()
        try:
            held = await self._links.read([c.id for c in part] + [c.id for c in lane.written])
        except (Transient, Fatal) as error:
            # nothing of this slice was sent: it stands as it was last known, and nothing is left open
            why = f"not sent: {error}"
            await self._journal.append([self._step(each, Event.REFUSED, self._before, why) for each in part])
            raise (silent(error) if isinstance(error, Transient) else error) from error
        steps = self._noticed(lane, held, counts)
        to_write: list[Change] = []
        for change in part:
            now = held[change.id]
            if decide(now, self._expected(change), self._wanted(change)) is Move.WRITE:
                to_write.append(change)
            else:
                steps.append(self._settled(change, now, counts))
        stopping: Fatal | None = None
        if to_write:
            more, stopping = await self._write(to_write, held, lane, counts, asked_at)
            steps += more
        lane.ended = steps
        if stopping is not None:
            await self._commit(lane)
        self.counts.add(counts)
        self._on_counts(counts)
        if stopping is not None:
            raise stopping

    async def _commit(self, lane: Lane, next_steps: Sequence[Step] = ()) -> None:
        steps, lane.ended = [*lane.ended, *next_steps], []
        if steps:
            await self._journal.append(steps)

    async def _write(
        self, changes: list[Change], held: dict[str, Held | None], lane: Lane, counts: Counts, asked_at: float
    ) -> tuple[list[Step], Fatal | None]:
        """Write, and say how each ended. The Fatal is what ends the run, once the steps are in the journal."""
        answers: list[tuple[Change, Said]] = []
        stopping: Fatal | None = None
        for part in slices(changes, STRICT_SLICE if self._strict else SLICE):
            if stopping is not None:
                said = [Said(Sent.AGAIN, FailureClass.INTERRUPTED, "not sent")] * len(part)
            else:
                try:
                    said = await self._send(part, held)
                except Transient as error:
                    said = [Said(Sent.UNKNOWN, error.failure, str(error))] * len(part)
                except Refused as error:
                    said = [Said(Sent.REFUSED, error.failure, str(error))] * len(part)
                except Fatal as error:
                    # refused as a whole before anything was done: quota, login, a request that does not stand
                    stopping = error
                    said = [Said(Sent.AGAIN, FailureClass.INTERRUPTED, f"not done: {error}")] * len(part)
                self.unseen_s = max(self.unseen_s, self._clock.monotonic() - asked_at)
            answers += zip(part, said, strict=True)
        asked: dict[str, Held | None] = {}
        if unsure := [change.id for change, each in answers if each.sent in _UNSURE]:
            try:
                asked = await self._links.read(unsure)
            except Transient as error:
                stopping = stopping or silent(error)
            except Fatal as error:
                stopping = stopping or error
        steps = []
        for change, each in answers:
            if change.id in asked:
                steps.append(self._asked(change, asked[change.id], each, counts))
            elif each.sent not in _UNSURE:  # the others stay open in the journal
                steps.append(self._answered(change, each, lane, counts))
            if each.sent is Sent.STOP and stopping is None:
                stopping = locked_out(each)
        return steps, stopping

    async def _send(self, part: Sequence[Change], held: dict[str, Held | None]) -> list[Said]:
        if not self._strict:
            return await self._links.write([(change.id, self._wanted(change)) for change in part])
        changes = []
        for change in part:
            now = held[change.id]
            assert now is not None
            changes.append((change.id, self._wanted(change), now.modified))
        return await self._links.write_strictly(changes)

    def _answered(self, change: Change, said: Said, lane: Lane, counts: Counts) -> Step:
        """A row whose answer is certain."""
        match said.sent:
            case Sent.DONE:
                counts.done += 1
                lane.written.append(change)
                return self._step(change, self._success, self._after)
            case Sent.AGAIN | Sent.APART if said.failure is FailureClass.INTERRUPTED or self._once_more(
                change, crowded=True
            ):
                return self._step(change, Event.REFUSED, self._before, f"{said.message}; to be tried again")
            case Sent.STOP:
                return self._step(change, Event.REFUSED, self._before, said.message)
        counts.failed += 1
        failure = said.failure or FailureClass.REJECTED
        return self._step(change, Event.REFUSED, self._before, said.message, failure=failure)

    def _asked(self, change: Change, now: Held | None, said: Said, counts: Counts) -> Step:
        """A row whose answer left it open, and what it was found to hold."""
        if link_state(now, change.old, change.new) is not self._before:
            return self._settled(change, now, counts)
        why = f"found undone after: {said.message or 'an unclear answer'}"
        if self._once_more(change):
            return self._step(change, Event.SETTLED, self._before, why)
        counts.failed += 1
        return self._step(change, Event.REFUSED, self._before, why, failure=said.failure or FailureClass.NETWORK)

    def _settled(self, change: Change, now: Held | None, counts: Counts) -> Step:
        """A row that needs no write, or whose write was found done."""
        where = link_state(now, change.old, change.new)
        match where:
            case LinkState.GONE:
                counts.gone += 1
                return self._step(change, Event.KEPT, where)
            case LinkState.EDITED:
                counts.edited += 1
                return self._step(change, Event.KEPT, where, found=now.url if now else "")
        if change.tries:
            counts.done += 1
        else:
            counts.already += 1
        return self._step(change, Event.SETTLED, where)

    def _noticed(self, lane: Lane, held: dict[str, Held | None], counts: Counts) -> list[Step]:
        """Records that were written a moment ago and hold something else by now."""
        steps = []
        for change in lane.written:
            now = held[change.id]
            if link_state(now, change.old, change.new) is self._after:
                continue
            counts.done -= 1
            if now is None:
                counts.gone += 1
                steps.append(self._step(change, Event.KEPT, LinkState.GONE))
                continue
            counts.edited += 1
            message = "another link was there right after this one was written"
            if now.url == change.new:
                steps.append(self._step(change, Event.SETTLED, LinkState.OURS, message))
            else:
                steps.append(self._step(change, Event.KEPT, LinkState.EDITED, message, found=now.url))
        lane.written = []
        return steps

    async def _look_again(self, lane: Lane) -> None:
        await self._commit(lane)
        if not lane.written:
            return
        counts = Counts()
        try:
            held = await self._links.read([change.id for change in lane.written])
        except EngineError:
            # they are confirmed already; this look only finds what triggers or users made of them since
            lane.written = []
            return
        await self._journal.append(self._noticed(lane, held, counts))
        self.counts.add(counts)
        self._on_counts(counts)

    def _once_more(self, change: Change, *, crowded: bool = False) -> bool:
        """Queue it for another try, unless it has had them all."""
        if change.tries + 1 >= self._attempts:
            return False
        self._again.append(change._replace(tries=change.tries + 1, crowd=change.crowd + crowded))
        return True

    def _step(
        self,
        change: Change,
        event: Event,
        where: LinkState | None,
        message: str = "",
        *,
        found: str = "",
        failure: FailureClass | None = None,
    ) -> Step:
        return change.step(event, where, message, found=found, failure=failure, undo=self._undo)

    def _expected(self, change: Change) -> str:
        return change.new if self._undo else change.old

    def _wanted(self, change: Change) -> str:
        return change.old if self._undo else change.new


def locked_out(said: Said) -> Paused:
    """No row will fare better than this one did."""
    return Paused(
        f"Salesforce lets nobody through: {said.message}",
        hint="Mend that (the integration user must be allowed to edit the URL field), then start again.",
    )


def silent(error: Transient) -> Paused:
    """Every try was in vain."""
    return Paused(
        f"Salesforce does not answer any more: {error}",
        hint="What is open is in the journal; the next start reads it first. Start the same command again later.",
    )


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
    links: LinkStore, journal: Steps, opened: Sequence[tuple[Change, bool]], on_step: Callable[[Step], Awaitable[None]]
) -> None:
    """Read every change that was intended and never confirmed, and write down where its link stands.

    ``opened`` says of each whether it was an undo.
    """
    for part in slices(opened, 2_000):
        held = await links.read([change.id for change, _ in part])
        steps = []
        for change, undo in part:
            now = held[change.id]
            where = link_state(now, change.old, change.new)
            found = now.url if now is not None and where is LinkState.EDITED else ""
            message = "found after a run that was cut short"
            step = change.step(Event.SETTLED, where, message, found=found, undo=undo)
            steps.append(step)
            await on_step(step)
        await journal.append(steps)
