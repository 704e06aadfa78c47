"""The writing of a rollback: by collections, or by bulk jobs where those pay, with signs of life and an honest end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from engine.pipeline.bulk import BulkUndo
from engine.pipeline.changing import Change, Changing
from engine.pipeline.stop import Stop
from engine.pipeline.switching import Counts
from engine.runs.assembly import Parts
from engine.runs.moving import CUT_SHORT, CutShort, beating, to_its_end
from engine.runs.screen import Screen
from engine.settings import Settings
from engine.tracking.journal import Journal


def bulk_pays(settings: Settings, links: int, *, strict: bool) -> bool:
    """Whether so many go through bulk jobs. A strict write has its check in the request, which a job has not."""
    least = settings.switch.bulk_rollback_from
    return least is not None and links > least and not strict


class Restoring:
    """Puts links back. ``note`` is told what the report should say."""

    def __init__(
        self,
        parts: Parts,
        journal: Journal,
        screen: Screen,
        stop: Stop,
        note: Callable[[str], None],
        *,
        strict: bool,
        bulk: bool,
    ) -> None:
        wanted, links = parts.settings.migration, parts.salesforce.links
        self._parts = parts
        self._journal = journal
        self._screen = screen
        self._stop = stop
        self._note = note
        self._strict = strict
        self._changing = Changing(
            links,
            journal,
            parts.clock,
            stop,
            undo=True,
            strict=strict,
            attempts=wanted.max_attempts,
            at_once=wanted.concurrency,
            size=wanted.batch_size,
        )
        self._bulk: BulkUndo | None = None
        if bulk:
            self._bulk = BulkUndo(links, parts.salesforce.bulk, journal, parts.clock, stop, note=self._aloud)

    @property
    def counts(self) -> Counts:
        """How the links ended so far."""
        both = Counts()
        both.add(self._changing.counts)
        if self._bulk is not None:
            both.add(self._bulk.counts)
        return both

    @property
    def unseen_s(self) -> float:
        """The longest between the last look at a record and the end of its write; 0 for strict writes."""
        jobs = 0.0 if self._bulk is None else self._bulk.unseen_s
        return max(jobs, 0.0 if self._strict else self._changing.unseen_s)

    async def run(self, windows: AsyncIterator[Sequence[Change]], *, max_duration_s: float | None) -> None:
        """Put them back, unless a stop is asked for. Raises Paused and other Fatal; the journal knows what is open."""
        async with beating(
            self._parts.clock,
            self._stop,
            max_duration_s=max_duration_s,
            line=self._line,
            say=None if self._screen.quiet else self._screen.say,
        ):
            work = self._changing.run(windows if self._bulk is None else self._bulk.rest(windows))
            try:
                await to_its_end(work, self._stop, self._parts.clock, self._parts.settings.migration.drain_seconds)
            except CutShort:
                self._note(CUT_SHORT)
                await self._journal.flush()
        if self._bulk is not None and self._bulk.jobs:
            done, jobs = self._bulk.counts.done, self._bulk.jobs
            self._note(f"{done:,} went through {jobs:,} job{'s' * (jobs != 1)} of Bulk API 2.0")

    def _aloud(self, text: str) -> None:
        self._note(text)
        self._screen.say(text)

    def _line(self) -> str:
        counts = self.counts
        return f"rollback: {counts.done:,} put back, {counts.edited:,} edited ones left, {counts.failed:,} failed"
