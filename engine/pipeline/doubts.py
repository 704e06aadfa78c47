"""Links in doubt: Salesforce may still be at work on a write whose client has heard nothing, or has died.

Until it cannot be any more, only one thing is sure: a record that holds the value after the write has been written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from engine.limiting.clock import Clock
from engine.model.change import Change, Said
from engine.pipeline.stop import Stop

SENT_WITHIN = 0.05
"""Of ``settle_after``: a write is sent so soon after its intent, or the intent is written down anew."""
_SOONEST_S = 1.0
_SAY_EVERY_S = 15.0


class Doubtful(NamedTuple):
    """A change of this run whose write had no clear answer."""

    change: Change
    said: Said
    asked_at: float
    """When its record was read before the write; of the monotonic clock."""
    until: datetime


def deadline(at: str, settle_after_s: float, now: datetime) -> datetime:
    """When a write whose intent was written down ``at`` cannot be carried out any more."""
    try:
        intended = min(datetime.fromisoformat(at).astimezone(UTC), now)
    except ValueError:
        intended = now
    return intended + timedelta(seconds=settle_after_s * (1 + SENT_WITHIN))


def too_old(seconds: float, settle_after_s: float) -> bool:
    """Whether an intent is too old for its write to be sent."""
    return seconds > max(_SOONEST_S, SENT_WITHIN * settle_after_s)


def clock_time(until: datetime) -> str:
    """For a person; never earlier than ``until``."""
    return f"{until + timedelta(seconds=59.999):%H:%M} UTC"


def in_doubt(count: int, until: datetime) -> str:
    """What a run that ends leaves to the next one."""
    return f"{count:,} links in doubt until {clock_time(until)}; the next start reads them first"


async def wait_until(until: datetime, count: int, clock: Clock, stop: Stop, say: Callable[[str], None]) -> None:
    """Until then, or until a stop is asked for, with a countdown for a person."""
    say(f"{count:,} links in doubt: waiting until {clock_time(until)} for Salesforce to finish")
    while not stop.requested and (left_s := (until - clock.now()).total_seconds()) > 0:
        asleep = asyncio.ensure_future(clock.sleep(min(left_s, _SAY_EVERY_S)))
        try:
            await stop.or_ended(asleep)
        finally:
            asleep.cancel()
        if (left_s := (until - clock.now()).total_seconds()) >= _SAY_EVERY_S:
            minutes, seconds = divmod(round(left_s), 60)
            say(f"{count:,} links in doubt: {minutes} min {seconds:02} s left")
