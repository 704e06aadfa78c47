"""The org's time is known by its answers, whatever the wall clock of this machine says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.salesforce.server_time import ServerTime
from tests.support.fakes.clock import ManualClock
from tests.support.org import Scripted
from tests.support.servers.salesforce import Reply, Seen

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
DATE = "Sun, 22 Nov 2026 10:00:00 GMT"
THEIRS = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


class WrongClock(ManualClock):
    """Its wall clock is off by ``off``."""

    def __init__(self, off: timedelta) -> None:
        super().__init__()
        self.off = off

    def now(self) -> datetime:
        return super().now() + self.off


@pytest.mark.parametrize("off", [-24 * HOUR, -HOUR, -1.5 * SECOND, 0 * HOUR, 1.5 * SECOND, HOUR, 24 * HOUR])
@pytest.mark.parametrize("within", [0.0, 0.9])
def test_a_wrong_wall_clock_does_not_matter(off: timedelta, within: float) -> None:
    """``within``: of the second that the Date tells."""
    clock = WrongClock(off)
    clock.advance(within)
    time = ServerTime(clock)
    time.note(DATE, clock.monotonic())
    for passed in (0, 5, 600, 5_000):
        clock.advance(passed)
        true = ManualClock.now(clock)
        assert true - 2 * SECOND <= time.earliest() <= true
        assert true - 2 * SECOND <= time.stamp() <= true + SECOND
        assert abs(time.here(true) - clock.now()) <= SECOND
    if abs(off) <= SECOND and within == 0:
        assert time.stamp() == clock.now()


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_wall_clock_that_jumps_later_makes_nothing_too_early(jump: timedelta) -> None:
    clock = WrongClock(0 * HOUR)
    time = ServerTime(clock)
    time.note(DATE, clock.monotonic())
    clock.advance(60)
    clock.off = jump
    true = ManualClock.now(clock)
    assert time.earliest() <= true
    assert time.stamp() >= true - 2 * SECOND


def test_an_answer_that_took_its_time_leaves_more_open() -> None:
    clock = WrongClock(0 * HOUR)
    time, asked = ServerTime(clock), clock.monotonic()
    clock.advance(30)
    time.note(DATE, asked)  # when they wrote that, it may have been any moment since the question
    assert time.earliest() == THEIRS
    assert time.stamp() >= THEIRS + 29 * SECOND


def test_a_slow_answer_makes_nothing_less_sure_that_was_known_before() -> None:
    clock = WrongClock(0 * HOUR)
    time = ServerTime(clock)
    time.note(DATE, clock.monotonic())
    clock.advance(10)
    asked = clock.monotonic()
    clock.advance(20)
    time.note("Sun, 22 Nov 2026 10:00:15 GMT", asked)  # it was on its way for long
    assert time.earliest() == time.stamp() == clock.now() == THEIRS + 30 * SECOND


def test_without_a_date_the_wall_clock_is_all_there_is() -> None:
    clock = WrongClock(HOUR)
    time = ServerTime(clock)
    for date in ("", "yesterday"):
        time.note(date, clock.monotonic())
        assert time.earliest() == time.stamp() == clock.now()


async def test_the_date_of_a_proxys_page_is_not_the_orgs(scripted: Scripted) -> None:
    late = {"Date": "Sun, 22 Nov 2026 09:00:01 GMT"}
    own = Reply({}, headers={"Date": "Sun, 22 Nov 2026 08:00:01 GMT"})
    said = [own, Reply([], 503, headers=late), Reply(b"<html></html>", 200, "text/html", late)]

    def script(_seen: Seen) -> Reply:
        return said.pop(0) if said else own

    async with scripted(script) as (salesforce, _):
        for _ in range(2):
            await salesforce.session.get_json("/services/data/", doing="ask")
            assert salesforce.session.time.date == datetime(2026, 11, 22, 8, 0, 1, tzinfo=UTC)
