"""Links put back by bulk jobs, for tens of thousands of them; whatever a job does not settle goes through collections.

A job is worked on in Salesforce's own time, so that the gap between reading a record and writing it is wider than with
collections: from the last look, right before the job is closed, until Salesforce comes to the row. Up to 10,000 records
travel in a job, one job after the other:

1. the job is made and filled; nothing of it is carried out before it is closed;
2. every pair of links is committed to the journal as intended, with the name of the job (I3);
3. all its records are read; if one no longer holds our link, the job is aborted and built anew without it;
4. the job is closed, and waited for;
5. its lists say how each row ended, and every record that may have been written is read once more;
6. the outcomes are committed. Locked rows, and those not tried, go through collections.

A job that does not begin soon is aborted, for its look at the records grows old. After any job that did not complete,
the rest goes through collections. Whoever comes after a kill finds the job in the journal, and has it end first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice

from engine.model.bulk import JobState, Progress, told
from engine.model.change import Event, Held, Said, Sent, Standing
from engine.model.errors import Blocked, EngineError, Fatal, Paused, Refused, Transient
from engine.model.failures import FailureClass
from engine.pacing.backoff import delays
from engine.pacing.clock import Clock
from engine.pacing.many import each
from engine.pipeline.bulk_rules import READ, ROWS, found, pieces, step
from engine.pipeline.changing import Change, Links, Steps, locked_out, silent
from engine.pipeline.jobs import Jobs, over
from engine.pipeline.stop import Stop
from engine.pipeline.switching import LANES, WINDOW, Counts, slices, standing

QUEUED_S = 120.0
"""How long a closed job may wait for its turn."""
WORKING_S = 1_800.0
"""How long it may take."""
_TRIES = 3
_BUILDS = 4


class BulkUndo:
    """Puts links back by jobs. ``rest`` yields what is left for collections."""

    def __init__(
        self,
        links: Links,
        jobs: Jobs,
        journal: Steps,
        clock: Clock,
        stop: Stop,
        *,
        note: Callable[[str], None] = lambda _text: None,
        rows: int = ROWS,
    ) -> None:
        self._links = links
        self._jobs = jobs
        self._journal = journal
        self._clock = clock
        self._stop = stop
        self._note = note
        self._rows = rows
        self._off = False
        self._unheeded = False
        self.jobs = 0
        """Jobs that were closed."""
        self.unseen_s = 0.0
        """The longest that lay between the last look at the records of a job and its end."""
        self.counts = Counts()
        """Of what the jobs have settled."""

    async def rest(self, windows: AsyncIterator[Sequence[Change]]) -> AsyncIterator[Sequence[Change]]:
        """Take the windows, and yield what must go another way. Raises Paused and other Fatal; the journal knows what
        is open."""
        group: list[Change] = []
        later: list[Change] = []
        async for window in windows:
            for change in window:
                (group if self._jobs.fits(change.old) else later).append(change)
            *full, group = [*pieces(group, self._rows)] or [[]]
            for piece in full:
                later += await self._group(piece)
            if self._off:
                later, group = later + group, []
            if len(later) >= WINDOW or (self._off and later):
                yield later
                later = []
            if self._stop.requested:
                return
        later += await self._group(group)
        if later:
            yield later

    async def _group(self, changes: Sequence[Change]) -> list[Change]:
        """What is left of them for collections."""
        later: list[Change] = []
        for _ in range(_BUILDS):
            if not changes or self._off or self._stop.requested:
                break
            changes, more = await self._job(changes)
            later += more
        return [*later, *changes]

    async def _job(self, changes: Sequence[Change]) -> tuple[list[Change], list[Change]]:
        """One job. What is left of it for another one, and for collections."""
        job = await self._filled(changes)
        if job is None:
            return [], list(changes)
        await self._journal.append([step(c, Event.UNDO_INTENDED, None, told(job)) for c in changes])
        looked = self._clock.monotonic()
        try:
            held = await self._read([change.id for change in changes])
        except (Transient, Fatal) as error:
            await self._drop(job)
            await self._unsent(changes, f"not sent: {error}")
            raise (silent(error) if isinstance(error, Transient) else error) from error
        moved = [c for c in changes if standing(held[c.id], c.old, c.new) is not Standing.OURS]
        if moved or self._stop.requested:
            await self._drop(job)
            return await self._anew(job, changes, held), []
        try:
            await self._jobs.close(job)
        except Paused as error:
            await self._drop(job)
            await self._unsent(changes, f"not sent: {error}")
            raise
        except (Transient, Blocked, Refused):
            pass  # whether it was heeded, its progress tells
        self.jobs += 1
        self._unheeded = False
        try:
            now = await over(self._jobs, job, self._clock, give_up=self._too_long, pause=self._pause)
        except Transient as error:
            raise silent(error) from error
        self.unseen_s = max(self.unseen_s, self._clock.monotonic() - looked)
        return await self._settled(job, now, changes)

    async def _filled(self, changes: Sequence[Change]) -> str | None:
        """An open job with these rows; None where Salesforce takes none."""
        why = ""
        for pause in islice(delays(self._clock.random), _TRIES):
            job = ""
            try:
                job = await self._jobs.create()
                await self._jobs.upload(job, [(change.id, change.old) for change in changes])
            except (Transient, Blocked, Refused) as error:
                why = str(error)
                await self._drop(job)
                if not job and not isinstance(error, Transient):
                    break  # an upload may be refused because it arrived twice; a job that may not be made, may not be
                await self._pause(pause)
                continue
            return job
        self._give_way(f"Salesforce takes no bulk job: {why}")
        return None

    async def _drop(self, job: str) -> None:
        """Abort a job that was never closed. If that fails, it does nothing all the same."""
        if not job:
            return
        try:
            await self._jobs.abort(job)
        except EngineError:
            return

    async def _unsent(self, changes: Sequence[Change], why: str) -> None:
        await self._journal.append([step(c, Event.REFUSED, Standing.OURS, why) for c in changes])

    async def _anew(self, job: str, changes: Sequence[Change], held: dict[str, Held | None]) -> list[Change]:
        """Write down what moved while the job was filled; the others are for the next one."""
        counts, steps, rest = Counts(), [], []
        for change in changes:
            if standing(held[change.id], change.old, change.new) is Standing.OURS:
                rest.append(change)
                steps.append(step(change, Event.REFUSED, Standing.OURS, f"not sent: {told(job)} was given up"))
            else:
                steps.append(found(change, held[change.id], counts, ours=False))
        await self._journal.append(steps)
        self.counts.add(counts)
        return rest

    async def _settled(self, job: str, now: Progress, changes: Sequence[Change]) -> tuple[list[Change], list[Change]]:
        if now.state is not JobState.COMPLETE and not (self._stop.requested or self._unheeded):
            why = f" ({now.message})" if now.message else ""
            self._give_way(f"the bulk job {job} ended as {now.state.value}{why} after {now.processed:,} rows")
        said: dict[str, Said] = {}
        try:
            said = await self._jobs.results(job) if now.state is not JobState.DELETED else {}
        except (Transient, Blocked, Refused) as error:
            self._note(f"the results of the bulk job {job} cannot be had ({error}): its records are read instead")
        unsure = Said(Sent.UNKNOWN)
        answers = [(change, said.get(change.id, unsure)) for change in changes]
        stopping: Fatal | None = None
        held: dict[str, Held | None] = {}
        try:
            held = await self._read([c.id for c, each in answers if each.sent in {Sent.DONE, Sent.UNKNOWN}])
        except Transient as error:
            stopping = silent(error)
        except Fatal as error:
            stopping = error
        counts, steps, later = Counts(), [], []
        for change, answer in answers:
            if change.id in held:
                row = found(change, held[change.id], counts, ours=True, surely=answer.sent is Sent.DONE)
                if row.standing is Standing.OURS and answer.sent is not Sent.DONE:
                    later.append(change._replace(tries=1))
                steps.append(row)
            elif answer.sent is Sent.DONE:  # nobody could look any more, but it is certain
                counts.done += 1
                steps.append(step(change, Event.UNDONE, Standing.ORIGINAL))
            elif answer.sent in {Sent.AGAIN, Sent.APART}:
                later.append(change._replace(tries=1, crowd=1))
                message = f"{answer.message}; to be tried again"
                steps.append(step(change, Event.REFUSED, Standing.OURS, message))
            elif answer.sent is Sent.STOP:
                stopping = stopping or locked_out(answer)
                steps.append(step(change, Event.REFUSED, Standing.OURS, answer.message))
            elif answer.sent is Sent.REFUSED:
                counts.failed += 1
                failure = answer.failure or FailureClass.REJECTED
                steps.append(step(change, Event.REFUSED, Standing.OURS, answer.message, failure=failure))
        await self._journal.append(steps)
        self.counts.add(counts)
        if stopping is not None:
            raise stopping
        return (later, []) if self._unheeded else ([], later)

    async def _read(self, ids: Sequence[str]) -> dict[str, Held | None]:
        """What they hold now; several reads side by side, for the first grows old while the last is under way."""
        held: dict[str, Held | None] = {}

        async def read(part: Sequence[str]) -> None:
            held.update(await self._links.read(part))

        await each(slices(ids, READ), read, at_once=LANES)
        return held

    def _too_long(self, now: Progress, waited: float) -> bool:
        """A job that is open was not closed after all; one that hangs was looked at too long ago."""
        self._unheeded = now.state is JobState.OPEN
        if self._unheeded or self._stop.requested:
            return True
        return waited > (QUEUED_S if now.state is JobState.QUEUED else WORKING_S)

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not on when a stop is asked for."""
        both = [asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._stop.wait())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    def _give_way(self, why: str) -> None:
        self._off = True
        self._note(f"{why}; the rest goes through collections")
