"""What goes on beside a run, if the settings want it: metrics, and messages. It only reads the tracking DB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Set
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Protocol, TypeVar

from aiohttp import web

from engine.desk import metrics
from engine.desk.figures import Figures
from engine.desk.listen import Listen
from engine.desk.telling import Teller, Told
from engine.limiting.clock import Clock
from engine.model.errors import EngineError, Fatal
from engine.runs.shared.exports import saving
from engine.settings import Settings

LOOK_EVERY_S = 15.0
_WORDS = {0: "is done", 3: "is done, with failures", 5: "was stopped and can be resumed", 6: "found differences"}


class Ending(Protocol):
    """The report of a run."""

    @property
    def exit_code(self) -> int: ...

    def as_json(self) -> dict[str, Any]: ...


R = TypeVar("R", bound=Ending)


async def attended(
    settings: Settings, kind: str, work: Coroutine[Any, Any, R], clock: Clock, say: Callable[[str], None]
) -> R:
    """Do the work, with metrics and messages beside it. Raises what it raises."""
    figures = Figures(settings.tracking.database, settings.switch.accept_proof, clock)
    teller = Teller(settings.notify, settings.network, clock, say)
    attendance = _Attendance(settings, kind, figures, teller, clock)
    async with AsyncExitStack() as stack:
        if settings.metrics.listen:
            await stack.enter_async_context(_serving(settings.metrics.listen, figures, say))
        looking = asyncio.create_task(attendance.look())
        try:
            report = await work
        except Fatal as error:
            await attendance.refused(error)
            raise
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
            now = await attendance.last_look()
        await attendance.ended(report, now)
        return report


class _Attendance:
    def __init__(self, settings: Settings, kind: str, figures: Figures, teller: Teller, clock: Clock) -> None:
        self._file = settings.metrics.textfile
        self._kind = kind
        self._figures = figures
        self._teller = teller
        self._clock = clock
        self._known: Set[str] | None = None

    async def look(self) -> None:
        """Now and then, until cancelled."""
        for beat in count():
            now = await self._now()
            if now is not None:
                await self._tell_new(now)
                if beat % 2 == 0:
                    await self._write(now)
            await self._clock.sleep(LOOK_EVERY_S)

    async def _now(self) -> dict[str, Any] | None:
        """None: there is nothing to read yet."""
        try:
            return await asyncio.to_thread(self._figures.overview)
        except EngineError:
            return None

    async def _tell_new(self, now: dict[str, Any]) -> None:
        """Tell of failure classes that have come up since this run began."""
        counts = {each["failure_class"]: each["count"] for each in now["errors"]}
        known = counts.keys() if self._known is None else self._known
        self._known = known | counts.keys()
        for failure in sorted(counts.keys() - known):
            text = f"engine {self._kind}: first failures of the class {failure} ({counts[failure]:,} so far)"
            facts = {"run_type": self._kind, "failure_class": failure, "count": counts[failure]}
            await self._teller.tell(Told("new_failure_class", text, facts))

    async def _write(self, now: dict[str, Any]) -> None:
        """The metrics file, where one is wanted."""
        if self._file is not None:
            with suppress(EngineError):
                await asyncio.to_thread(_save, self._file, metrics.text(now))

    async def last_look(self) -> dict[str, Any] | None:
        """What there is to read at the end, also in the metrics file."""
        now = await self._now()
        if now is not None:
            await self._write(now)
        return now

    async def ended(self, report: Ending, now: dict[str, Any] | None) -> None:
        """Tell how it ended, and what is in doubt. ``now``: of the last look."""
        if now is not None:
            await self._tell_new(now)
        document, code = report.as_json(), report.exit_code
        facts = {name: document.get(name) for name in ("run_type", "run_id", "status", "exit_code", "reason")}
        words = _WORDS.get(code, "was ended by a signal and can be resumed" if code in {130, 143} else "has ended")
        why = f": {document['reason']}" if document.get("reason") else ""
        text = f"engine {self._kind}: run {document.get('run_id') or '(dry)'} {words} (exit code {code}){why}"
        await self._teller.tell(Told("ended", text, facts))
        if now is not None and now["in_doubt"]:
            text = f"engine {self._kind}: {now['in_doubt']:,} links are in doubt; the next start reads them first"
            await self._teller.tell(Told("in_doubt", text, {**facts, "in_doubt": now["in_doubt"]}))

    async def refused(self, error: Fatal) -> None:
        """Tell that it could not start, or could not go on."""
        facts = {"run_type": self._kind, "exit_code": error.exit_code, "reason": str(error)}
        text = f"engine {self._kind} could not start or go on (exit code {error.exit_code}): {error}"
        await self._teller.tell(Told("refused", text, facts))


def _save(file: Path, text: bytes) -> None:
    """Others read it: node_exporter has a user of its own, and no secret is in here."""
    with saving(file) as out:
        out.write(text.decode())
    file.chmod(0o644)


@asynccontextmanager
async def _serving(listen: str, figures: Figures, say: Callable[[str], None]) -> AsyncIterator[None]:
    """``/metrics`` and nothing else. A port that is taken, by another run or by the dashboard, is said."""
    place = Listen.anywhere(listen)

    app = web.Application()
    app.router.add_get("/metrics", metrics.answering(figures))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, place.host, place.port).start()
        except OSError as error:
            say(f"metrics.listen {listen}: {error.strerror}; the run goes on without it")
        yield
    finally:
        await runner.cleanup()
