"""What a switch and a rollback have in common: leave to write, a stop that is heeded, signs of life, an honest end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import structlog

from engine.limiting.clock import Clock
from engine.model.command import Advice, in_words
from engine.model.errors import Blocked, EngineError, Fatal, Paused, Usage
from engine.model.record import ObjectShape
from engine.pipeline.stop import Stop
from engine.runs.shared.preflight import Halted
from engine.runs.shared.report import duration
from engine.settings import Settings
from engine.tracking.ledger import Ledger
from engine.tracking.read.journal import open_changes
from engine.tracking.write.runs import Ending

BEAT_S = 0.5
SAY_EVERY_S = 15.0
SECONDS_A_CALL = 0.4
"""What a Salesforce call takes as a rule of thumb, four side by side; from no measurement of a live org."""
CUT_SHORT = "what was in flight did not end in time and was cut; the next start reads it first"

log = structlog.get_logger()


def may_execute(settings: Settings) -> None:
    """Raises Usage where the test settings forbid every write."""
    if settings.migration.dry_run:
        raise Usage(
            "--execute would override migration.dry_run: true",
            hint="Set migration.dry_run to false to let runs write.",
        )


def check_updateable(shape: ObjectShape) -> None:
    """Raises Blocked where this login may not change the links."""
    if not shape.url_updateable:
        raise Blocked(
            f"this user may not edit {shape.name}.{shape.url_field}",
            hint="Give the integration user edit access to that field (field-level security).",
        )


@contextmanager
def before_the_first_write() -> Iterator[None]:
    """Whatever refuses to start also says that nothing was written."""
    try:
        yield
    except Fatal as error:
        if "nothing was" not in in_words(error.hint).lower():
            error.add_hint("Nothing was written to Salesforce.")
        raise


async def close_failed(ledger: Ledger, run_id: int, error: BaseException, *told: Advice) -> None:
    """Close the run row where that can still be done; where not, the next start marks it as crashed. ``told``: what a
    person must know besides the error: what is safe, and what to type next; what is in doubt is told first."""
    message = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: see logs"
    log.error("run_failed", told=True, why=message)
    if isinstance(error, Fatal):
        error.add_hint(await _in_doubt(ledger, run_id), *told)
    try:
        ending: Ending = "stopped" if isinstance(error, Paused | Halted) else "failed"
        await ledger.end_run(run_id, ending, message)
    except Fatal as second:
        log.error("run_not_closed", why=str(second))


async def _in_doubt(ledger: Ledger, run_id: int) -> str:
    try:
        left = await ledger.database.read(open_changes(run_id))
    except Fatal:
        return ""
    return f"{left:,} links are in doubt: sent, or about to be. The next start reads them first." if left else ""


@asynccontextmanager
async def beating(
    clock: Clock,
    stop: Stop,
    *,
    max_duration_s: float | None,
    line: Callable[[], str],
    say: Callable[[str], None] | None,
) -> AsyncIterator[None]:
    """Watch the time limit, and say a line now and then."""
    started = said = clock.monotonic()

    async def beat() -> None:
        nonlocal said
        while True:
            await clock.sleep(BEAT_S)
            now = clock.monotonic()
            if max_duration_s is not None and now - started >= max_duration_s:
                stop.request(f"--max-duration of {duration(max_duration_s)} reached", Paused.exit_code)
            if say is not None and now - said >= SAY_EVERY_S:
                said = now
                say(line())

    task = asyncio.ensure_future(beat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
