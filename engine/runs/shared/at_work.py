"""A run at work: the lock on its tracking DB, its log, the signals that stop it, and everything that it needs, open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.limiting.clock import Clock
from engine.model.command import Command
from engine.pipeline.stop import Stop
from engine.runs.shared.assembly import Services, assemble
from engine.runs.shared.screen import Screen
from engine.runs.shared.signals import stopping
from engine.s3.transport import Transport
from engine.settings import Settings
from engine.tracking.db.files import inspect
from engine.tracking.db.lock import RunLock


@asynccontextmanager
async def at_work(
    settings: Settings,
    clock: Clock,
    command: Command,
    screen: Screen,
    stop: Stop,
    *,
    transport: Transport = "fast",
    may_create: bool = False,
) -> AsyncIterator[Services]:
    """For the length of the block. ``command`` is what the lock shows to others. Raises Fatal.

    A tracking DB that does not exist is refused unless the run ``may_create`` one: it would know nothing of the past.
    """
    if not may_create:
        inspect(settings.tracking.database)
    with (
        RunLock(settings.tracking.database, clock, str(command)),
        screen.logging(settings),
        stopping(stop, screen.say, settings.migration.drain_seconds),
    ):
        async with assemble(settings, clock, transport=transport) as services:
            yield services
