"""A switch under way, wave by wave: a question before each, a check of the objects, the links, and a verdict."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import asdict

import structlog

from engine.model.change import Change, Link
from engine.model.copy import CLOSED
from engine.model.errors import Paused, Transient
from engine.pipeline.link_slices import Steps
from engine.pipeline.switching import WINDOW, Counts, Wave, slices, waves
from engine.runs.links.change_report import counted
from engine.runs.links.link_run import LinkProgress, LinkRules, LinkWriter
from engine.runs.links.new_links import NewLinks
from engine.runs.links.plan_file import PlanFile
from engine.runs.links.wave_copies import WaveCopies, listing_pays
from engine.runs.shared.confirmation import Consent
from engine.runs.shared.lifecycle import Run
from engine.tracking.read import switchable
from engine.tracking.read.switchable import Wanted
from engine.tracking.write.verdicts import Verdict, Verdicts

log = structlog.get_logger()


class Selection:
    """Which links of a plan may change now: in bounds, still as planned, and with their copy in place.

    ``wanted``: which records may move. ``progress`` counts what is left out.
    """

    def __init__(self, run: Run, plan: PlanFile, wanted: Wanted, progress: LinkProgress) -> None:
        assert run.id is not None
        self._run = run
        self._plan = plan
        self._wanted = wanted
        self._template = run.services.ours.link_template
        self._verdicts = Verdicts(run.services.ledger.database, run.id)
        self.doubtful: Collection[str] = ()
        """Records that Salesforce may still be writing: they are left for the end."""
        self._late: list[tuple[int, Link]] = []
        self._seen = 0
        self._taken = 0
        self.progress = progress

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        limit = self._run.bounds.limit
        return limit is not None and self._taken >= limit

    def end(self, wanted: Sequence[Wave]) -> None:
        """Where the limit was reached, the rest of these waves was left out."""
        if self.full:
            self.progress.left_out += sum(wave.records for wave in wanted) - self._seen

    async def windows(self, wave: Wave, counts: Counts) -> AsyncIterator[list[Change]]:
        """The wave's changes, window by window. Those that stay go into ``counts``. Raises Paused."""
        copies = await self._copies(wave)
        for start in range(wave.start, wave.stop, WINDOW):
            if self._run.stop.requested or self.full:
                return
            links = self._plan.window(start, min(start + WINDOW, wave.stop))
            self._seen += len(links)
            within = self._within(links)
            self._late += [(wave.number, link) for link in within if link.id in self.doubtful]
            now = [link for link in within if link.id not in self.doubtful]
            if ready := await self._ready(now, copies, counts):
                yield [self._change(link, wave.number) for link in ready]

    async def late_windows(self, counts: Counts) -> AsyncIterator[list[Change]]:
        """The changes that were left for the end."""
        services, late = self._run.services, self._late
        copies = WaveCopies(services.s3.destination, services.retries)
        for part in slices(late, WINDOW):
            if self._run.stop.requested or self.full:
                return
            waves_of = {link.id: wave for wave, link in part}
            if ready := await self._ready([link for _, link in part], copies, counts):
                yield [self._change(link, waves_of[link.id]) for link in ready]

    def _change(self, link: Link, wave: int) -> Change:
        # made of its key here and now: no link from a row or a file is ever sent to Salesforce
        return Change(link.id, link.account, link.old, self._template.url(link.copy.key), wave)

    async def _copies(self, wave: Wave) -> WaveCopies:
        """The copies behind this wave's links, listed where that pays."""
        services = self._run.services
        copies = WaveCopies(services.s3.destination, services.retries)
        if listing_pays(wave.records, await services.ledger.database.read(switchable.copies)):
            for start in range(wave.start, wave.stop, WINDOW):
                copies.expect(self._plan.window(start, min(start + WINDOW, wave.stop)))
            try:
                await copies.list_bucket()
            except Transient as error:
                raise Paused(
                    f"the destination does not say which objects it holds: {error}",
                    hint="Nothing of this wave was sent. Start the same command again when the store is well.",
                ) from error
        return copies

    def _within(self, links: list[Link]) -> list[Link]:
        """Those of the account in scope."""
        account = self._run.bounds.account_id
        found = [link for link in links if account is None or link.account == account]
        self.progress.left_out += len(links) - len(found)
        return found

    def _limited(self, links: list[Link]) -> list[Link]:
        """As many as the limit still allows. Links that are switched already do not count: the same command, given
        again, goes on after them."""
        limit = self._run.bounds.limit
        found = links if limit is None else links[: max(0, limit - self._taken)]
        self._taken += len(found)
        self.progress.left_out += len(links) - len(found)
        return found

    async def _ready(self, links: Sequence[Link], copies: WaveCopies, counts: Counts) -> list[Link]:
        """Those of which the tracking DB still says what the plan says, and whose objects are there."""
        services = self._run.services
        now = await switchable.now(services.ledger.database, [link.id for link in links], self._wanted)
        ready: list[Link] = []
        for link in links:
            row = now.get(link.id)
            if row is not None and row.switched and (row.link.old, row.link.new) == (link.old, link.new):
                counts.already += 1
            elif row is None or not row.may_move or row.link != link:
                counts.stale += 1
                if row is not None and row.link.new != self._template.url(row.link.copy.key) and not row.switched:
                    self.progress.foreign.add([link.id])
            else:
                ready.append(link)
        ready = self._limited(ready)
        problems = await copies.problems(ready)
        if not problems:
            return ready
        archived = sum(each.fault in CLOSED for each in problems.values())
        counts.archived += archived
        counts.missing += len(problems) - archived
        await self._verdicts.condemn(
            [
                Verdict(now[link.id].row, link.id, link.old, problem.fault, problem.message)
                for link in ready
                if (problem := problems.get(link.id)) is not None
            ]
        )
        for record, problem in problems.items():
            log.info("copy_unfit", record=record, fault=problem.fault, why=problem.message)
        return [link for link in ready if link.id not in problems]


class Waves:
    """Moves the links that a plan's selection lets through. ``new``: looks at the first of them."""

    def __init__(self, run: Run, selection: Selection, steps: Steps, rules: LinkRules, new: NewLinks) -> None:
        self._run = run
        self._new = new
        self._selection = selection
        self._progress = selection.progress
        self._limits = rules.limits
        self._writer = LinkWriter(run, steps, rules, self._judge)

    async def run(self, wanted: Sequence[Wave], consent: Consent, *, after_wave: Callable[[], Awaitable[None]]) -> None:
        """One wave after the other, until one says stop. Raises Paused and other Fatal."""
        stop, told = self._run.stop, ""
        for place, wave in enumerate(wanted):
            if self._selection.full:
                break
            if place and not await self._may_go_on(consent, wanted[place - 1], told, wave):
                stop.request(f"nobody said yes to going on after wave {wanted[place - 1].number}", Paused.exit_code)
            if stop.requested:
                return
            counts = await self._wave(wave)
            told = counted(counts)
            if not stop.requested and (verdict := self._limits.verdict(counts, over=True)) is not None:
                stop.request(*verdict)
            await after_wave()
        self._selection.end(wanted)

    async def _may_go_on(self, consent: Consent, last: Wave, told: str, wave: Wave) -> bool:
        lines = [f"Wave {last.number} is done: {told or 'nothing was left to do'}.", await self._new.shown()]
        question = f"Wave {wave.number} has {wave.records:,} links."
        return await consent.go_on(self._run, f"wave {wave.number}", "\n".join([*filter(None, lines), question]))

    async def late(self) -> None:
        """What was left for the end. Raises Paused and other Fatal."""
        counts = await self._write(self._selection.late_windows(self._writer.slices.counts), {})
        if not self._run.stop.requested and (verdict := self._limits.verdict(counts, over=True)) is not None:
            self._run.stop.request(*verdict)

    @property
    def so_far(self) -> Counts:
        """Of this run, the wave under way included."""
        counts = Counts()
        counts.add(self._progress.total)
        counts.add(self._writer.slices.counts)
        return counts

    async def _wave(self, wave: Wave) -> Counts:
        self._run.screen.say(f"wave {wave.number}: {wave.records:,} links")
        windows = self._selection.windows(wave, self._writer.slices.counts)
        return await self._write(windows, {"wave": wave.number, "records": wave.records})

    async def _write(self, windows: AsyncIterator[Sequence[Change]], wave: Mapping[str, int]) -> Counts:
        """``wave``: what the report and the log call these links; empty for those of all waves that were left over."""
        slices, progress = self._writer.slices, self._progress
        try:
            await self._writer.write(self._new.first(windows))
        finally:
            counts = slices.take_counts()
            progress.total.add(counts)
            progress.learn(slices)
            if wave:
                progress.waves.append({**wave, **asdict(counts)})
            log.info("wave", **wave, **asdict(counts))
        return counts

    def _judge(self, counts: Counts) -> None:
        waiting = self._writer.slices.stubborn
        if (verdict := self._limits.verdict(counts, over=False, waiting=waiting)) is not None:
            self._run.stop.request(*verdict)


def beyond(targets: Sequence[int | str], planned: int) -> list[str]:
    """A note of the links that no wave reaches, where there are any."""
    covered = sum(wave.records for wave in waves(targets, planned))
    if covered == planned:
        return []
    text = f"switch.waves [{', '.join(map(str, targets))}] reach {covered:,} of the plan's {planned:,} links: the other"
    return [f'{text} {planned - covered:,} stay as they are until a last wave "100%" takes them']
