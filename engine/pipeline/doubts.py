"""Links in doubt: Salesforce may still be at work on a write whose client has heard nothing, or has died.

Until it cannot be any more, only one thing is sure: a record that holds the value after the write has been written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from engine.limiting.clock import Clock, for_people
from engine.model.change import Change, Said
from engine.pipeline.stop import Stop

SENT_WITHIN = 0.05
"""Of ``settle_after``: a write is sent so soon after its intent, or the intent is written down anew."""
_SOONEST_S = 1.0
_GRAIN_S = 2.0
"""What is written down may be so much before Salesforce's time, which is told in whole seconds."""
_SAY_EVERY_S = 15.0


class Doubtful(NamedTuple):
    """A change of this run whose write had no clear answer."""

    change: Change
    said: Said
    asked_at: float
    """When its record was read before the write; of the monotonic clock, as is ``until``."""
    until: float


def deadline(at: str, settle_after_s: float, seen: datetime) -> datetime:
    """When a write cannot be carried out any more whose intent was written down ``at``, and found by us when it was
    ``seen``. All of it by Salesforce's clock."""
    try:
        intended = min(datetime.fromisoformat(at).astimezone(UTC), seen)
    except ValueError:
        intended = seen
    return intended + timedelta(seconds=settle_after_s + sent_within(settle_after_s) + _GRAIN_S)


def sent_within(settle_after_s: float) -> float:
    """Seconds after which an intent is too old for its write to be sent."""
    return max(_SOONEST_S, SENT_WITHIN * settle_after_s)


def clock_time(until: datetime) -> str:
    """For a person; never earlier than ``until``."""
    return for_people(until + timedelta(seconds=59.999), "%H:%M %Z")


def in_doubt(count: int, until: datetime) -> str:
    """What a run that ends leaves to the next one."""
    return f"{count:,} links in doubt until {clock_time(until)}; the next start reads them first"


async def wait_out(
    left_s: Callable[[], float], count: int, clock: Clock, stop: Stop, say: Callable[[str], None]
) -> None:
    """Until no second is left, or until a stop is asked for, with a countdown for a person."""
    until = clock_time(clock.now() + timedelta(seconds=left_s()))
    say(f"{count:,} links in doubt: waiting until {until} for Salesforce to finish")
    while not stop.requested and (left := left_s()) > 0:
        asleep = asyncio.ensure_future(clock.sleep(min(left, _SAY_EVERY_S)))
        try:
            await stop.or_ended(asleep)
        finally:
            asleep.cancel()
        if (left := left_s()) >= _SAY_EVERY_S:
            minutes, seconds = divmod(round(left), 60)
            say(f"{count:,} links in doubt: {minutes} min {seconds:02} s left")
