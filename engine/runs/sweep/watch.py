"""``engine sweep --watch``: records that are new or have changed, and point at the vendor; round after round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from engine.limiting.clock import Clock, iso
from engine.model.errors import Paused, Refused, Transient
from engine.pipeline.stop import Stop
from engine.runs.shared.screen import Screen
from engine.runs.sweep.report import Pointer, SweepReport
from engine.runs.sweep.terms import Vendor
from engine.salesforce.faults import QueryTooSlow
from engine.salesforce.search import Search

EXAMPLES = 3
MOST = 2000
"""New records that one round names."""
_OVERLAP = timedelta(minutes=15)
"""A record carries the time at which its transaction began; the record itself is visible only later."""


@dataclass(frozen=True, slots=True)
class Watching:
    """``since``: UTC; None: 24 hours ago, or the time between two rounds if that is longer."""

    once: bool = False
    every_s: float = 900.0
    since: str | None = None


class Watch:
    """One watch; ``report`` says what was found by its end."""

    def __init__(
        self, search: Search, options: Watching, screen: Screen, stop: Stop, clock: Clock, report: SweepReport
    ) -> None:
        self._search = search
        self._options = options
        self._screen = screen
        self._stop = stop
        self._clock = clock
        self._report = report
        self._vendor = Vendor(report.terms)
        self._reported: set[tuple[str, str]] = set()

    async def run(self, names: Sequence[str]) -> None:
        """Search these objects until a stop is asked for; with ``once`` a single time."""
        options, clock, unsearched = self._options, self._clock, self._report.coverage.unsearched
        since = options.since or iso(clock.now() - timedelta(seconds=max(options.every_s, 86_400.0)))
        if options.since:
            self._screen.say(f"--since: what was changed at {since} (UTC) or later")
        while not self._stop.requested:
            began = iso(clock.now() - _OVERLAP)
            for name in names:
                try:
                    await self._new_in(name, since)
                    unsearched.pop(name, None)
                except (Transient, Refused, QueryTooSlow) as error:
                    unsearched[name] = str(error)
                except Paused as error:
                    self._stop.request(str(error), Paused.exit_code)
                    return
            self._report.coverage.objects = len(names)
            if options.once:
                return
            if not unsearched:
                since = began
            await self._pause()

    async def _new_in(self, name: str, since: str) -> None:
        place = await self._search.place(name)
        for column in place.columns:
            if not column.filterable:
                continue
            rows = await self._search.rows(name, column.name, self._report.terms, most=MOST, since=since)
            new = [(record, text) for record, text in rows if (record, column.name) not in self._reported]
            self._reported.update((record, column.name) for record, _ in new)
            if new:
                examples = self._vendor.examples(new[:EXAMPLES])
                pointer = Pointer(name, column.name, len(new), examples, at_least=len(rows) == MOST)
                self._report.found.append(pointer)
                if not self._options.once:
                    self._say(pointer)

    def _say(self, pointer: Pointer) -> None:
        record, text = pointer.examples[0]
        self._screen.say(
            f"{iso(self._clock.now())} {pointer.count:,} new or changed {pointer.object} records point at the vendor "
            f"in {pointer.field}, such as {record}: {text}"
        )

    async def _pause(self) -> None:
        """Until the next round, or until a stop."""
        until = self._clock.monotonic() + self._options.every_s
        while not self._stop.requested and (left := until - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left, 1.0))
