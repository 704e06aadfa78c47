"""Checks a batch of copies, and writes down, counts and reports what was found of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import structlog

from engine.limiting.side_by_side import side_by_side
from engine.model.copy import CLOSED, CopyFault
from engine.runs.shared.lifecycle import Run
from engine.runs.verify.check import CheckedCopy, Checker
from engine.runs.verify.report import Beyond, Found, Symbol
from engine.tracking.read.copies import Copy, is_marked, mark
from engine.tracking.write.verdicts import CONDEMNED, Verdict

_SAY_EVERY_S = 10.0
_NO_FILE = {CopyFault.MISSING, CopyFault.DIFFERS, CopyFault.ARCHIVED}
"""Whoever follows a link to such a copy gets no file, or a wrong one."""
_BEYOND: dict[CopyFault | None, Beyond] = {
    CopyFault.SOURCE_CHANGED: Beyond.CHANGED,
    CopyFault.SOURCE_GONE: Beyond.GONE,
}

log = structlog.get_logger()

Check = Callable[[Copy], Awaitable[CheckedCopy]]


class Recording:
    """Of one verification that has begun. ``total``: copies in scope. A dry run writes nothing down."""

    def __init__(self, run: Run, checker: Checker, found: Found, total: int) -> None:
        self._run = run
        self._checker = checker
        self._found = found
        self._total = total
        self._verdicts = None if run.id is None else run.services.ledger.verdicts()
        self._condemned = bytearray()
        self._said = run.services.clock.monotonic()

    async def check(self, copies: Sequence[Copy], *, deep: bool, with_source: bool) -> None:
        """Check each of them."""
        if with_source or deep:
            await self._checker.sources.learn(copies)

        async def check(copy: Copy) -> CheckedCopy:
            work = self._checker.by_bytes if deep else self._checker.by_head
            return await work(copy, with_source=with_source)

        checked = await self._all(copies, check)
        for each in checked:
            self._count(each)
        stand = [each for each in checked if each.fault in {None, CopyFault.SOURCE_GONE}]
        if self._verdicts is not None:
            await self._verdicts.confirm([each.copy.row for each in stand if each.raised is None])
            await self._verdicts.raise_proofs([each.raised for each in stand if each.raised is not None])
        await self._condemn(checked)

    async def check_sources(self, copies: Sequence[Copy]) -> None:
        """Check the sources of copies that a listing has shown to be as recorded: they are counted already."""
        await self._checker.sources.learn(copies)

        async def check(copy: Copy) -> CheckedCopy:
            return (await self._checker.source(copy))[1]

        rest = [copy for copy in copies if not is_marked(self._condemned, copy.row)]
        checked = [each for each in await self._all(rest, check) if each.fault is not None]
        for each in checked:
            self._found.counts[Symbol.MATCH] -= 1
            self._count(each)
        await self._condemn(checked)

    async def equal(self, rows: Sequence[int], copies: Sequence[Copy] = ()) -> None:
        """These rows are as a listing says. ``copies``: the same, where the report file names them."""
        self._found.match(len(rows))
        for copy in copies:
            self._found.lines.add(Symbol.MATCH, copy.record_id, copy.proved.key, "")
        if self._verdicts is not None:
            await self._verdicts.confirm(rows)
        self.say_now_and_then()

    def say_now_and_then(self) -> None:
        """How far it is."""
        now, screen = self._run.services.clock.monotonic(), self._run.screen
        if now - self._said >= _SAY_EVERY_S and not screen.quiet:
            self._said = now
            screen.say(f"verify: {self._found.checked:,} of {self._total:,} copies checked")

    async def _all(self, copies: Sequence[Copy], check: Check) -> list[CheckedCopy]:
        checked: list[CheckedCopy] = []

        async def one(copy: Copy) -> None:
            if not self._run.stop.requested:
                checked.append(await check(copy))

        await side_by_side(copies, one, at_once=self._run.services.limiters.most)
        checked.sort(key=lambda each: each.copy.row)
        return [await self._repairable(each) for each in checked]

    async def _repairable(self, checked: CheckedCopy) -> CheckedCopy:
        """Say if no backup can copy the lost file of a switched record again: its link keeps the key, and a key that
        users follow never gets other content than was proved."""
        copy = checked.copy
        if not copy.switched or checked.fault is not CopyFault.MISSING:
            return checked
        await self._checker.sources.learn([copy])
        _, source = await self._checker.source(copy)
        beyond = _BEYOND.get(source.fault)
        if beyond is None:
            return checked
        self._found.beyond[beyond] += 1
        return replace(checked, message=f"{checked.message}; no backup can make it again: {beyond}")

    def _count(self, checked: CheckedCopy) -> None:
        found, copy = self._found, checked.copy
        found.add(checked.symbol, copy.record_id, copy.proved.key, checked.message)
        if checked.fault is None:
            found.raised += checked.raised is not None and checked.raised.proof != copy.proved.proof
            return
        found.changed_sources += checked.fault is CopyFault.SOURCE_CHANGED
        found.archived += checked.fault in CLOSED
        if copy.switched and checked.fault in _NO_FILE:
            found.broken_links += 1
        log.info("copy_not_as_recorded", record=copy.record_id, found=checked.symbol.word, why=checked.message)

    async def _condemn(self, checked: Sequence[CheckedCopy]) -> None:
        mark(self._condemned, [each.copy.row for each in checked if each.fault in CONDEMNED])
        if self._verdicts is not None:
            await self._verdicts.condemn(
                [
                    Verdict(each.copy.row, each.copy.record_id, each.copy.url, each.fault, each.message)
                    for each in checked
                    if each.fault is not None
                ]
            )
        self.say_now_and_then()
