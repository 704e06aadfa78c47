"""Copies looked at one by one, and what was found of each written down and told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import structlog

from engine.limiting.side_by_side import side_by_side
from engine.model.copy import CopyFault
from engine.pipeline.stop import Stop
from engine.runs.shared.assembly import Services
from engine.runs.shared.screen import Screen
from engine.runs.verify.check import CheckedCopy, Looking
from engine.runs.verify.report import Beyond, Found, Symbol
from engine.tracking.read.copies import Copy, is_marked, mark
from engine.tracking.write.verdicts import CONDEMNED, Verdict, Verdicts

_BEAT_S = 10.0
_BEYOND: dict[CopyFault | None, Beyond] = {
    CopyFault.SOURCE_CHANGED: Beyond.CHANGED,
    CopyFault.SOURCE_GONE: Beyond.GONE,
}

log = structlog.get_logger()


class Judging:
    """Of one verification. ``verdicts``: where they are written down; None: nowhere."""

    def __init__(
        self,
        services: Services,
        found: Found,
        looking: Looking,
        screen: Screen,
        stop: Stop,
        *,
        source: bool,
        deep: bool,
    ) -> None:
        self._services = services
        self._found = found
        self._looking = looking
        self._screen = screen
        self._stop = stop
        self._source = source
        self._deep = deep
        self._bad = bytearray()
        self._beaten = services.clock.monotonic()
        self.verdicts: Verdicts | None = None
        self.total = 0
        """Copies in scope."""

    async def each(self, copies: list[Copy], *, sources: bool | None = None) -> None:
        """Ask for each of them. ``sources``: instead of what the command line says."""
        with_source = self._source if sources is None else sources
        if with_source or self._deep:
            await self._looking.learn(copies)

        async def look(copy: Copy) -> CheckedCopy:
            work = self._looking.deep if self._deep else self._looking.shallow
            return await work(copy, with_source=with_source)

        await self._judge(copies, look)

    async def sources(self, copies: list[Copy]) -> None:
        """Of those that were found as recorded: is their source, too?"""
        await self._looking.learn(copies)
        rest = [copy for copy in copies if not is_marked(self._bad, copy.row)]
        await self._judge(rest, self._source_only, again=True)

    def beat(self) -> None:
        """Say now and then how far it is."""
        now = self._services.clock.monotonic()
        if now - self._beaten >= _BEAT_S and not self._screen.quiet:
            self._beaten = now
            self._screen.say(f"verify: {self._found.checked:,} of {self.total:,} copies looked at")

    async def _source_only(self, copy: Copy) -> CheckedCopy:
        _, seen = await self._looking.source(copy)
        return seen

    async def _judge(
        self, copies: Sequence[Copy], look: Callable[[Copy], Awaitable[CheckedCopy]], *, again: bool = False
    ) -> None:
        """Look at each and write down what was found. ``again``: they have been counted as matches before."""
        looks: list[CheckedCopy] = []

        async def one(copy: Copy) -> None:
            if not self._stop.requested:
                looks.append(await look(copy))

        await side_by_side(copies, one, at_once=self._services.settings.migration.concurrency)
        looks.sort(key=lambda seen: seen.copy.row)
        looks = [await self._repairable(seen) for seen in looks]
        for seen in looks:
            self._tell(seen, again=again)
        if self.verdicts is not None:
            stands = [seen for seen in looks if seen.fault in {None, CopyFault.SOURCE_GONE}]
            if not again:
                await self.verdicts.confirm([seen.copy.row for seen in stands if seen.raised is None])
                await self.verdicts.raise_proofs([seen.raised for seen in stands if seen.raised is not None])
            await self.verdicts.condemn(
                [
                    Verdict(seen.copy.row, seen.copy.record_id, seen.copy.url, seen.fault, seen.message)
                    for seen in looks
                    if seen.fault is not None
                ]
            )
        self.beat()

    async def _repairable(self, seen: CheckedCopy) -> CheckedCopy:
        """Whether a backup can make a switched record's lost copy again: its link keeps the key, and other content than
        was proved never goes under a key that users follow."""
        copy = seen.copy
        if not copy.switched or seen.fault is not CopyFault.MISSING:
            return seen
        await self._looking.learn([copy])
        _, source = await self._looking.source(copy)
        beyond = _BEYOND.get(source.fault)
        if beyond is None:
            return seen
        self._found.beyond[beyond] += 1
        return replace(seen, message=f"{seen.message}; no backup can make it again: {beyond}")

    def _tell(self, seen: CheckedCopy, *, again: bool) -> None:
        found, copy = self._found, seen.copy
        if seen.fault is None:
            found.raised += seen.raised is not None and seen.raised.proof != copy.proved.proof
            if not again:
                found.add(Symbol.MATCH, copy.record_id, copy.proved.key, seen.message)
            return
        if again:
            found.counts[Symbol.MATCH] -= 1
        found.add(seen.symbol, copy.record_id, copy.proved.key, seen.message)
        found.changed_sources += seen.fault is CopyFault.SOURCE_CHANGED
        if seen.fault in CONDEMNED:
            mark(self._bad, [copy.row])
        if copy.switched and seen.fault in {CopyFault.MISSING, CopyFault.DIFFERS}:
            found.broken_links += 1
        log.info("copy_not_as_recorded", record=copy.record_id, found=seen.symbol.word, why=seen.message)
