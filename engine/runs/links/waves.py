"""A switch under way, wave by wave: a question before each, a look at the objects, the links, and a judgement."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import structlog

from engine.model.change import Link
from engine.model.command import Advice
from engine.model.errors import Paused, Transient
from engine.pipeline.changing import Change, Changing, Steps
from engine.pipeline.stop import CutShort, Stop, unless_cut
from engine.pipeline.switching import WINDOW, Counts, DriftLimits, Wave, waves
from engine.runs.links.change_report import GONE
from engine.runs.links.claims import Claims, listing_pays
from engine.runs.links.link_run import CUT_SHORT
from engine.runs.links.plan_file import PlanFile
from engine.runs.shared.assembly import Services
from engine.runs.shared.bounds import Bounds
from engine.runs.shared.confirmation import Consent
from engine.runs.shared.screen import Screen
from engine.tracking.read import switchable
from engine.tracking.read.links import Foreign
from engine.tracking.write.verdicts import Verdict, Verdicts

log = structlog.get_logger()


@dataclass(slots=True)
class WaveProgress:
    """How far a switch has come."""

    total: Counts = field(default_factory=Counts)
    waves: list[dict[str, Any]] = field(default_factory=list)
    unseen_s: float = 0.0
    """``Changing.unseen_s``; 0 for strict writes."""
    left_out: int = 0
    """Lines of the plan that flags or test settings did not let through."""
    notes: list[Advice] = field(default_factory=list)
    foreign: Foreign = field(default_factory=Foreign)
    """Records left alone because their row brings a link of its own."""


class Waves:
    """Moves the links of a plan. ``progress`` is told as it goes, whatever ends it."""

    def __init__(
        self,
        services: Services,
        plan: PlanFile,
        steps: Steps,
        screen: Screen,
        stop: Stop,
        *,
        bounds: Bounds,
        retried: Sequence[str],
        strict: bool,
        verdicts: Verdicts,
        progress: WaveProgress,
    ) -> None:
        self._services = services
        self._settings = settings = services.settings
        self._plan = plan
        self._form = settings.destination.form
        self._screen = screen
        self._stop = stop
        self._bounds = bounds
        self._retried = retried
        self._strict = strict
        self._verdicts = verdicts
        self._progress = progress
        self._taken = 0
        self._seen = 0
        self._limits = DriftLimits(settings.switch.max_drift, settings.migration.error_budget)
        self._changing = Changing(
            services.salesforce.links,
            steps,
            services.clock,
            stop,
            strict=strict,
            attempts=settings.migration.max_attempts,
            at_once=settings.migration.concurrency,
            size=settings.migration.batch_size,
            on_counts=self._judge,
        )

    async def run(
        self,
        wanted: Sequence[Wave],
        consent: Consent,
        *,
        flush: Callable[[], Awaitable[None]],
        after_wave: Callable[[], Awaitable[None]],
    ) -> None:
        """One wave after the other, until one says stop. Raises Paused and other Fatal."""
        for place, wave in enumerate(wanted):
            if self._full:
                break
            if place and not await consent.go_on(
                f"Wave {wanted[place - 1].number} is done: {said_counts(self._progress.waves[-1])}. "
                f"Wave {wave.number} has {wave.records:,} links."
            ):
                self._stop.request(f"not asked to go on behind wave {wanted[place - 1].number}", Paused.exit_code)
            if self._stop.requested:
                return
            counts = await self._wave(wave, flush)
            if not self._stop.requested and (verdict := self._limits.verdict(counts, over=True)) is not None:
                self._stop.request(*verdict)
            await after_wave()
        if self._full:
            self._progress.left_out += sum(wave.records for wave in wanted) - self._seen

    @property
    def so_far(self) -> Counts:
        """Of this run, the wave under way included."""
        counts = Counts()
        counts.add(self._progress.total)
        counts.add(self._changing.counts)
        return counts

    async def _wave(self, wave: Wave, flush: Callable[[], Awaitable[None]]) -> Counts:
        changing, progress = self._changing, self._progress
        self._screen.say(f"wave {wave.number}: {wave.records:,} links")
        changing.counts = Counts()
        work = changing.run(self._windows(wave, await self._look(wave)))
        try:
            drain_s = self._settings.migration.drain_seconds
            await unless_cut(work, self._stop, lambda: self._services.clock.sleep(drain_s))
        except CutShort:
            progress.notes.append(CUT_SHORT)
            await flush()
        finally:
            counts, changing.counts = changing.counts, Counts()
            progress.total.add(counts)
            progress.unseen_s = 0.0 if self._strict else changing.unseen_s
            progress.waves.append({"wave": wave.number, "records": wave.records, **asdict(counts)})
            log.info("wave", wave=wave.number, **asdict(counts))
        return counts

    async def _look(self, wave: Wave) -> Claims:
        """What must hold of the objects behind this wave's links."""
        attempts = self._settings.migration.max_attempts
        claims = Claims(self._services.s3.destination, self._services.clock, attempts=attempts)
        if listing_pays(wave.records, await self._services.ledger.database.read(switchable.copies)):
            for start in range(wave.start, wave.stop, WINDOW):
                claims.expect(self._plan.window(start, min(start + WINDOW, wave.stop)))
            try:
                await claims.look()
            except Transient as error:
                raise Paused(
                    f"the destination does not say which objects it holds: {error}",
                    hint="Nothing of this wave was sent. Start the same command again when the store is well.",
                ) from error
        return claims

    async def _windows(self, wave: Wave, claims: Claims) -> AsyncIterator[list[Change]]:
        for start in range(wave.start, wave.stop, WINDOW):
            if self._stop.requested or self._full:
                return
            links = self._plan.window(start, min(start + WINDOW, wave.stop))
            self._seen += len(links)
            ready = await self._ready(self._within(links), claims)
            if ready:
                # formed here and now: no row and no file brings a link of its own to Salesforce
                yield [Change(link.id, link.account, link.old, self._form.url(link.key), wave.number) for link in ready]

    def _within(self, links: list[Link]) -> list[Link]:
        """Those of the account in scope."""
        account = self._bounds.account_id
        found = [link for link in links if account is None or link.account == account]
        self._progress.left_out += len(links) - len(found)
        return found

    def _limited(self, links: list[Link]) -> list[Link]:
        """As many as the limit still lets through. Links that have moved before count for nothing, so that the same
        command goes on behind them."""
        limit = self._bounds.limit
        found = links if limit is None else links[: max(0, limit - self._taken)]
        self._taken += len(found)
        self._progress.left_out += len(links) - len(found)
        return found

    @property
    def _full(self) -> bool:
        return self._bounds.limit is not None and self._taken >= self._bounds.limit

    async def _ready(self, links: Sequence[Link], claims: Claims) -> list[Link]:
        """Those of which the tracking DB still says what the plan says, and whose objects are there."""
        counts = self._changing.counts
        accepted = self._settings.switch.accept_proof
        now = await switchable.now(self._services.ledger.database, [link.id for link in links], accepted, self._retried)
        standing: list[Link] = []
        for link in links:
            row = now.get(link.id)
            if row is not None and row.switched and (row.link.old, row.link.new) == (link.old, link.new):
                counts.already += 1
            elif row is None or not row.may_move or row.link != link:
                counts.stale += 1
                if row is not None and row.link.new != self._form.url(row.link.key) and not row.switched:
                    self._progress.foreign.add([link.id])
            else:
                standing.append(link)
        standing = self._limited(standing)
        problems = await claims.problems(standing)
        if not problems:
            return standing
        counts.missing += len(problems)
        await self._verdicts.condemn(
            [
                Verdict(now[link.id].row, link.id, link.old, problem.fault, problem.message)
                for link in standing
                if (problem := problems.get(link.id)) is not None
            ]
        )
        for record, problem in problems.items():
            log.info("copy_missing", record=record, fault=problem.fault, why=problem.message)
        return [link for link in standing if link.id not in problems]

    def _judge(self, _latest: Counts) -> None:
        if (verdict := self._limits.verdict(self._changing.counts, over=False)) is not None:
            self._stop.request(*verdict)


def beyond(targets: Sequence[int | str], planned: int) -> list[str]:
    """A note of the links that no wave reaches, where there are any."""
    covered = sum(wave.records for wave in waves(targets, planned))
    if covered == planned:
        return []
    text = f"switch.waves [{', '.join(map(str, targets))}] reach {covered:,} of the plan's {planned:,} links: the other"
    return [f'{text} {planned - covered:,} stay as they are until a last wave "100%" takes them']


def said_counts(counts: dict[str, Any]) -> str:
    """Counts as words."""
    words = {
        "done": "switched",
        "already": "already so",
        "edited": "edited by others and left alone",
        "gone": GONE,
        "missing": "without their copy",
        "stale": "changed since the plan",
        "failed": "failed",
    }
    return ", ".join(f"{counts[name]:,} {word}" for name, word in words.items() if counts.get(name)) or "nothing yet"
