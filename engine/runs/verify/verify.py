"""``engine verify``: is every copy there that the tracking DB claims?

| level  | asked of the destination                    | costs                              |
|--------|---------------------------------------------|------------------------------------|
| `list` | one listing; size and ETag of every copy    | a call per thousand copies         |
| `head` | a HEAD of each copy, with its checksum      | a call per copy                    |
| `deep` | the bytes, hashed again: stronger proofs    | a call per copy, and all its bytes |

``--source`` also checks whether the source has changed since the copy, or is gone. What is not as recorded is written
down, so that the next backup repairs it (``tracking/write/verdicts.py``). Salesforce is not asked at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from engine.limiting.clock import Clock, SystemClock
from engine.model.command import Advice, Command
from engine.model.errors import Blocked, Paused, Refused, Transient
from engine.runs.shared.bounds import bounds_of
from engine.runs.shared.command import as_flags
from engine.runs.shared.lifecycle import Run, Start, live
from engine.runs.shared.preflight import check_stores
from engine.runs.shared.report import Ended
from engine.runs.shared.screen import Screen
from engine.runs.verify.check import Checker
from engine.runs.verify.listings import Listings
from engine.runs.verify.record import Recording
from engine.runs.verify.report import Found, Lines, Symbol, VerifyReport, confidence
from engine.runs.verify.sampling import Draw, First, Sample
from engine.s3.transport import Transport
from engine.settings import Settings
from engine.tracking.read.copies import Copy
from engine.tracking.read.links import foreign
from engine.tracking.read.waived import note, waived
from engine.tracking.write.runs import Ending

Level = Literal["list", "head", "deep"]


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """The flags; None: not given."""

    level: Level = "list"
    source: bool = False
    sample: Sample | None = None
    account: str | None = None
    limit: int | None = None
    report: Path | None = None
    report_all: bool = False
    transport: Transport = "fast"

    @property
    def again(self) -> Command:
        """The same command."""
        flags = as_flags(
            level=None if self.level == "list" else self.level,
            source=self.source,
            sample=self.sample,
            account=self.account,
            limit=self.limit,
            report=self.report,
            report_all=self.report_all,
        )
        return Command(f"verify{flags}")


async def verify(
    settings: Settings, options: VerifyOptions, screen: Screen, clock: Clock | None = None
) -> VerifyReport:
    """Check the copies and report. Raises Fatal when it cannot start or go on."""
    start = Start(
        kind="verify",
        settings=settings,
        screen=screen,
        clock=clock or SystemClock(),
        command=Command("verify"),
        bounds=bounds_of(settings.migration, account=options.account, limit=options.limit),
        transport=options.transport,
    )
    return await live(start, partial(_checked, options=options))


async def _checked(run: Run, options: VerifyOptions) -> _Verify:
    lines = run.files.enter_context(Lines(options.report, everything=options.report_all))
    await check_stores(run.services)
    return _Verify(run, options, lines, await run.services.ledger.copies.count(run.bounds.account_id or ""))


class _Verify:
    def __init__(self, run: Run, options: VerifyOptions, lines: Lines, total: int) -> None:
        whole = options.sample is None and run.bounds.whole
        self.facts: Mapping[str, object] = {
            "verify": {"level": options.level, "whole": whole, "source": options.source}
        }
        self._run = run
        self._options = options
        self._found = Found(lines)
        self._total = total

    async def work(self) -> None:
        services, found, options = self._run.services, self._found, self._options
        template = services.ours.link_template
        found.foreign = await services.ledger.database.read(partial(foreign, template=template))
        found.waived = await services.ledger.database.read(waived)
        try:
            await self._check()
        except Transient as error:
            raise Paused(str(error), hint="start the same command again once the store works") from error
        except Refused as error:
            raise Blocked(str(error), hint=(Command("doctor"), "   says which rights are missing")) from error
        if options.sample is not None and found.checked and not found.wrong and not found.counts[Symbol.ERROR]:
            self._run.note(confidence(found.checked, self._total))
        if found.waived_errors:
            self._run.note(note(found.waived_errors))
        if self._run.id is None:
            self._run.note("migration.dry_run is on: nothing was written down")

    async def _check(self) -> None:
        run, options = self._run, self._options
        checker = Checker(run.services)
        recording = Recording(run, checker, self._found, self._total)
        if options.level == "list" and self._listing_pays():
            listings = Listings(run, checker, self._found, recording)
            await listings.check()
            if options.source and not run.stop.requested:
                await listings.check_sources()
            return
        if options.level == "list" and self._total:
            run.note("only some of the copies are in scope: each was checked by HEAD")
        async for copies in self._chosen():
            await recording.check(copies, deep=options.level == "deep", with_source=options.source)

    def _listing_pays(self) -> bool:
        """A listing answers for all copies or for none."""
        bounds = self._run.bounds
        return bounds.account_id is None and bounds.limit is None and self._options.sample is None

    async def _chosen(self) -> AsyncIterator[list[Copy]]:
        """The copies in scope, a chunk at a time."""
        copies, bounds = self._run.services.ledger.copies, self._run.bounds
        most = self._total if bounds.limit is None else min(self._total, bounds.limit)
        pick: First | Draw = First(most)
        if (sample := self._options.sample) is not None:
            pick = Draw(min(most, sample.of(self._total)), self._total, self._run.services.clock)
        async for rows in copies.rows(bounds.account_id or ""):
            if self._run.stop.requested or pick.done:
                return
            if taken := pick.take(rows):
                yield await copies.of(taken)

    def after_failure(self) -> Sequence[Advice]:
        safe = "What was verified until then is recorded; nothing was changed in any bucket or in Salesforce."
        return [safe, "The same command starts again."]

    def verdict(self) -> tuple[Ending, int]:
        found = self._found
        if found.wrong or found.foreign.count:
            return "completed_with_failures", 6
        errors = found.counts[Symbol.ERROR] > found.waived_errors
        return ("completed_with_failures", 3) if errors else ("completed", 0)

    def report(self, ended: Ended) -> VerifyReport:
        options = self._options
        return VerifyReport(
            ended=ended,
            level=options.level,
            claimed=self._total,
            sampled=options.sample is not None,
            found=self._found,
            file=options.report,
            next_steps=self._found.next_steps(options.again, stopped=ended.stopped),
        )
