"""The way of one slice of links: journal, read, compare, write, settle.

Beside its own records, a read also checks what the lane has just written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.limiting.clock import Clock
from engine.model.change import Change, Held, Step
from engine.model.errors import EngineError, Fatal, Transient
from engine.pipeline.doubts import Doubtful, sent_within
from engine.pipeline.link_endings import SWITCH, UNDO, Endings
from engine.pipeline.link_writes import LinkStore, LinkWrites, silent
from engine.pipeline.switching import LANES, SLICE, Counts, link_state, slices


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


class Slices:
    """Of one run, in one direction. ``on_counts`` gets the counts of the wave whenever they have grown."""

    def __init__(
        self,
        links: LinkStore,
        journal: Steps,
        clock: Clock,
        policy: ChangePolicy,
        on_counts: Callable[[Counts], None] = lambda _counts: None,
    ) -> None:
        self._links = links
        self._journal = journal
        self.clock = clock
        self.policy = policy
        self._on_counts = on_counts
        self.endings = Endings(UNDO if policy.undo else SWITCH, policy.attempts)
        self._writes = LinkWrites(links, clock, self.endings, strict=policy.strict)
        self.doubts: list[Doubtful] = []
        self.unclear = 0
        """Writes in a row, up to now, that brought no clear answer."""
        self.counts = Counts()
        """Since ``take_counts``."""

    @property
    def unseen_s(self) -> float:
        """``LinkWrites.unseen_s``, and no less than what is in doubt has lasted so far."""
        now = self.clock.monotonic()
        open_s = (0.0 if self.policy.strict else now - doubt.asked_at for doubt in self.doubts)
        return max(self._writes.unseen_s, *open_s, 0.0)

    @property
    def stubborn(self) -> int:
        """Records that wait for another try after several that met a lock, or that are in doubt once more."""
        again = sum(each.tries > each.locked + each.contended for each, *_ in self.doubts)
        return self.endings.retries.stubborn + again

    def take_counts(self) -> Counts:
        """What was counted so far; from now on it is counted anew."""
        counts, self.counts = self.counts, Counts()
        return counts

    async def change(self, part: Sequence[Change], lane: Lane) -> None:
        """Raises Fatal, once the journal knows what became of the slice."""
        begun = self.clock.monotonic()
        await self._commit(lane, [self.endings.intended(change) for change in part])
        counts = Counts()
        asked_at = self.clock.monotonic()
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
        if counts.rewritten and not self.policy.undo:
            steps += [self.endings.not_sent(change, "the org changes what is written") for change in to_write]
            to_write = []
        while self.clock.monotonic() - begun > sent_within(self.policy.settle_after_s):
            # whoever finds these intents goes by their time; where the bucket is slow, this takes a while too
            begun = self.clock.monotonic()
            await self._journal.append([self.endings.intended(change) for change in to_write])
        written = await self._writes.write(to_write, held, counts, asked_at)
        until = self.clock.monotonic() + self.policy.settle_after_s
        self.doubts += [Doubtful(change, said, asked_at, until) for change, said in written.doubtful]
        if to_write:
            self.unclear = self.unclear + 1 if len(written.doubtful) == len(to_write) else 0
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

    async def check_last(self, lane: Lane) -> None:
        """What the lane has written last has no slice behind it."""
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

    async def settle_doubts(self) -> None:
        """Read what those hold at which Salesforce cannot be any more. Raises Fatal."""
        due = [doubt for doubt in self.doubts if doubt.until <= self.clock.monotonic()]
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
            self.doubts = [doubt for doubt in self.doubts if doubt not in part]
        self._count(counts)
        self.unclear = 0

    def _count(self, counts: Counts) -> None:
        self.counts.add(counts)
        self._on_counts(self.counts)
