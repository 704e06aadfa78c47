"""Bulk jobs, waited for: no record is read to learn what became of it while its job may still change it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

from engine.model.bulk import JobState, Progress
from engine.model.change import Said
from engine.model.errors import Blocked, Paused, Refused, Transient
from engine.pacing.backoff import delays
from engine.pacing.clock import Clock

LONGEST_S = 900.0
"""How long a job may take to end once it was aborted."""
_FIRST_S, _LAST_S = 1.0, 10.0
_STEADY_S = 2.0


class Jobs(Protocol):
    """Salesforce's bulk jobs. ``salesforce/bulk_ingest.py`` says what the errors mean."""

    def fits(self, link: str) -> bool: ...

    async def create(self) -> str: ...

    async def upload(self, job: str, changes: Sequence[tuple[str, str]]) -> None: ...

    async def close(self, job: str) -> None: ...

    async def abort(self, job: str) -> None: ...

    async def progress(self, job: str) -> Progress: ...

    async def results(self, job: str) -> dict[str, Said]: ...


class StillWorking(Paused):
    """A job has not ended in time."""


async def over(
    jobs: Jobs,
    job: str,
    clock: Clock,
    *,
    give_up: Callable[[Progress, float], bool],
    longest_s: float | None = None,
    pause: Callable[[float], Awaitable[None]] | None = None,
) -> Progress:
    """Wait until nothing of the job is at work any more; it is aborted once ``give_up(progress, seconds)`` says so.

    Raises StillWorking when it has not ended ``longest_s`` after the beginning, or LONGEST_S after the abort; Transient
    and Fatal.
    """
    begun = clock.monotonic()
    waits = delays(clock.random, base_s=_FIRST_S, cap_s=_LAST_S)
    aborted = False
    while not (now := await jobs.progress(job)).state.over:
        waited = clock.monotonic() - begun
        first = not aborted and give_up(now, waited)
        if first:
            aborted, begun, waited, longest_s = True, clock.monotonic(), 0.0, LONGEST_S
        if aborted:
            with suppress(Transient, Blocked, Refused):  # over by now, or heeded all the same: the next look tells
                await jobs.abort(job)
        if first:
            continue
        if longest_s is not None and waited > longest_s:
            raise _still(job, now)
        await (clock.sleep if aborted or pause is None else pause)(next(waits))
    return now if now.state is JobState.COMPLETE else await _steady(jobs, job, now, clock)


async def _steady(jobs: Jobs, job: str, now: Progress, clock: Clock) -> Progress:
    """Nothing says that the rows under way end together with a job that was aborted or has failed."""
    while True:
        await clock.sleep(_STEADY_S)
        again = await jobs.progress(job)
        if again.processed == now.processed:
            return again
        now = again


async def quiet(
    jobs: Jobs, names: Sequence[str], clock: Clock, *, abort: bool, longest_s: float, say: Callable[[str], None]
) -> None:
    """Have the jobs of earlier runs end: at once where they may be aborted, else by themselves, in time.

    Raises StillWorking, also for a job that was never closed and may not be aborted; Transient, Fatal.
    """
    for job in names:
        now = await jobs.progress(job)
        if not abort and now.state is JobState.OPEN:
            raise _still(job, now)
        if not now.state.over:
            does = "aborted" if abort else "waited for"
            say(f"the bulk job {job} of an earlier run is {now.state.value}: it is {does} before anything is read")
        await over(jobs, job, clock, give_up=lambda _now, _waited: abort, longest_s=longest_s)


def _still(job: str, now: Progress) -> StillWorking:
    return StillWorking(
        f"the bulk job {job} is still {now.state.value}",
        hint="What travels in it is in doubt until it ends. Start the same command again later, or abort the job in "
        "Setup (Bulk Data Load Jobs).",
    )
