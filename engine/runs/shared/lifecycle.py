"""The life of a run, the same for every use case.

| step  | what happens                                                       | what a failure leaves             |
|-------|--------------------------------------------------------------------|-----------------------------------|
| open  | the lock on the tracking DB, the log, the signals, all services    | nothing                           |
| check | what must hold before the start; nothing is written                | nothing                           |
| begin | a row in ``migration_runs``, unless it is a dry run                | nothing                           |
| work  | what the run is for, until it is done, stopped, or its time is up  | a row that says how the run ended |
| end   | the row is closed, the report made                                 | a row that the next start closes  |
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import structlog

from engine import __version__
from engine.limiting.clock import Clock, iso
from engine.limiting.side_by_side import beside
from engine.model.command import Advice, Command, in_words
from engine.model.errors import EngineError, Fatal, Paused
from engine.pipeline.doubts import deadline, in_doubt
from engine.pipeline.stop import Stop
from engine.runs.shared.assembly import Services, assemble
from engine.runs.shared.bounds import Bounds
from engine.runs.shared.place import place_of
from engine.runs.shared.preflight import Halted, unless_stopped
from engine.runs.shared.report import Ended, duration, first_fatal
from engine.runs.shared.screen import Screen
from engine.runs.shared.signals import stopping
from engine.runs.shared.world import WORLD
from engine.s3.transport import Transport
from engine.settings import Settings
from engine.tracking.db.files import inspect
from engine.tracking.db.lock import RunLock
from engine.tracking.read.journal import open_changes
from engine.tracking.write.runs import Ending

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What is known of a run before anything is open."""

    kind: str
    """``run_type`` in its row."""
    settings: Settings
    screen: Screen
    clock: Clock
    command: Command
    """What the lock shows to others."""
    bounds: Bounds
    max_duration_s: float | None = None
    transport: Transport = "fast"
    may_create: bool = False
    """It may make the tracking DB; otherwise one that does not exist is refused: it would know nothing of the past."""
    looks: bool = False
    """A dry run that makes no tracking DB, and writes nothing to one that is there (``place.py``)."""
    untouched: str = ""
    """What is said where the run is refused before it begins."""


@dataclass(slots=True)
class Run:
    """A run while it lasts."""

    services: Services
    screen: Screen
    stop: Stop
    bounds: Bounds
    files: ExitStack
    """Closed when the run has ended."""
    id: int | None = None
    """Its row in ``migration_runs``; None before it has begun, and in a dry run."""
    notes: list[Advice] = field(default_factory=list)
    """What the report tells besides its figures."""

    def note(self, text: Advice) -> None:
        self.notes.append(text)
        log.info("note", text=in_words(text))


class Report(Protocol):
    """How a run ended, for a person and for a script."""

    def as_json(self) -> dict[str, Any]: ...


R = TypeVar("R", bound=Report)
R_co = TypeVar("R_co", bound=Report, covariant=True)


class UseCase(Protocol[R_co]):
    """What one kind of run does, once it may."""

    @property
    def facts(self) -> Mapping[str, object]:
        """What its row holds besides the settings."""

    async def work(self) -> None:
        """Raises Fatal where it cannot go on."""

    def after_failure(self) -> Sequence[Advice]:
        """What is safe, and what to type next."""

    def verdict(self) -> tuple[Ending, int]:
        """How the work ended that nobody stopped: the row's status, and the exit code."""

    def report(self, ended: Ended) -> R_co: ...


Check = Callable[[Run], Coroutine[Any, Any, UseCase[R]]]
"""Sees that a run may start, and writes nothing. Raises Fatal."""


async def live(start: Start, check: Check[R]) -> R:
    """The whole life of a run. Raises Fatal when it cannot start, or cannot go on."""
    settings, clock, stop = start.settings, start.clock, Stop()
    if not start.may_create:
        inspect(settings.tracking.database)
    with (
        place_of(settings, looks=start.looks) as (place, logged),
        RunLock(place.path, clock, str(start.command), WORLD.get().files),
        start.screen.logging(logged),
        stopping(stop, start.screen.say, settings.migration.drain_seconds),
        ExitStack() as files,
    ):
        async with assemble(settings, clock, transport=start.transport, place=place) as services:
            run = Run(services, start.screen, stop, start.bounds, files)
            try:
                case = await unless_stopped(check(run), stop)
            except Fatal as error:
                if "nothing was" not in in_words(error.hint).lower():
                    error.add_hint(start.untouched)
                raise
            await _begin(run, start, case.facts)
            started = clock.monotonic()
            try:
                async with beside(_limit(run, start.max_duration_s)):
                    await case.work()
            except BaseException as error:
                await _close_failed(run, first_fatal(error) or error, case.after_failure())
                raise
            status: Ending = "stopped"
            code = stop.exit_code
            if not stop.requested:
                status, code = case.verdict()
            if run.id is not None:
                await services.ledger.end_run(run.id, status, stop.reason or None)
            seconds, database = clock.monotonic() - started, str(settings.tracking.database)
            ended = Ended(start.kind, run.id, status, code, stop.reason, seconds, database, run.notes)
            report = case.report(ended)
            log.info("run_ended", at=iso(clock.now()), **report.as_json())
            return report


async def _begin(run: Run, start: Start, facts: Mapping[str, object]) -> None:
    if not run.bounds.dry_run:
        snapshot = start.settings.snapshot() | dict(facts)
        run.id = await run.services.ledger.begin_run(start.kind, snapshot, version=__version__)
        structlog.contextvars.bind_contextvars(run_id=run.id)
    log.info("run_started", version=__version__, kind=start.kind, dry_run=run.id is None, **facts)


async def _limit(run: Run, seconds: float | None) -> None:
    if seconds is not None:
        await run.services.clock.sleep(seconds)
        run.stop.request(f"--max-duration of {duration(seconds)} reached", Paused.exit_code)


async def _close_failed(run: Run, error: BaseException, more: Sequence[Advice]) -> None:
    """Close the run's row where that can still be done; where not, the next start marks it as crashed."""
    message = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: see logs"
    log.error("run_failed", quiet=True, why=message)
    if run.id is None:
        return
    if isinstance(error, Fatal):
        error.add_hint(await _in_doubt(run), *more)
    try:
        ending: Ending = "stopped" if isinstance(error, Paused | Halted) else "failed"
        await run.services.ledger.end_run(run.id, ending, message)
    except Fatal as second:
        log.error("run_not_closed", why=str(second))


async def _in_doubt(run: Run) -> str:
    """Of the links; told before anything else."""
    assert run.id is not None
    try:
        left, at = await run.services.ledger.database.read(open_changes(run.id))
    except Fatal:
        return ""
    time = run.services.salesforce.session.time
    until = deadline(at, run.services.settle_after_s, time.earliest())
    return f"Sent, or about to be: {in_doubt(left, time.here(until))}." if left else ""
