"""Time and the event loop of a seed: nothing waits, nothing runs beside anything else, chance has one source."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from typing import Any

BEGIN = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
TICK_S = 20e-6
"""What the shortest step takes, so that no two moments are the same."""
LONGEST_LIFE_S = 4 * 86_400.0
MOST_STEPS = 400_000
GHOST_STEPS = 20_000

Work = Callable[[], None]


@lru_cache(maxsize=10_000)
def http_date(second: int) -> str:
    return format_datetime(BEGIN + timedelta(seconds=second), usegmt=True)


@lru_cache(maxsize=10_000)
def iso_second(second: int) -> str:
    return (BEGIN + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S")


class Killed(BaseException):
    """The process is dead: whatever still runs of it must touch nothing any more."""


class Stuck(Exception):
    """A run that neither ends nor waits for anything, or goes on for ever."""


class Timeline:
    """The time of a seed, and what the world does in it, whoever is alive then."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Work, str]] = []
        self._numbers = itertools.count()

    def after(self, seconds: float, work: Work, change: str = "") -> None:
        """``change`` names what will be another by it, whoever is alive then."""
        heapq.heappush(self._due, (self.now + max(seconds, 0.0), next(self._numbers), work, change))

    @property
    def next(self) -> float:
        return self._due[0][0] if self._due else float("inf")

    def advance(self, to: float) -> None:
        """Let time pass, and all that is due in it happen."""
        while self._due and self._due[0][0] <= to:
            when, _, work, _ = heapq.heappop(self._due)
            self.now = max(self.now, when)
            work()
        self.now = max(self.now, to)

    @property
    def changes(self) -> list[str]:
        """What will be another, in order."""
        return [change for *_, change in sorted(self._due) if change]

    def at(self) -> datetime:
        return BEGIN + timedelta(seconds=self.now)


class SimClock:
    """Fits ``Clock``. ``skew_s``: how far this machine's wall clock is off."""

    def __init__(self, timeline: Timeline, chance: random.Random, skew_s: float = 0.0) -> None:
        self._timeline = timeline
        self._chance = chance
        self._skew = timedelta(seconds=skew_s)

    def now(self) -> datetime:
        return self._timeline.at() + self._skew

    def jump(self, seconds: float) -> None:
        """By hand, or by NTP."""
        self._skew += timedelta(seconds=seconds)

    def monotonic(self) -> float:
        return self._timeline.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def random(self) -> float:
        return self._chance.random()


class SimLoop(asyncio.BaseEventLoop):
    """A loop without a selector. ``manner`` is the order of what is ready: ``line`` as it came, ``mixed`` a batch in
    any order, ``one`` always a single one picked from all."""

    def __init__(self, timeline: Timeline, chance: random.Random, manner: str = "mixed") -> None:
        super().__init__()
        self._timeline = timeline
        self._chance = chance
        self._manner = manner
        self._born: dict[asyncio.Task[Any], int] = {}
        self._signals: dict[int, Work] = {}
        self._steps = 0
        self._ends = timeline.now + LONGEST_LIFE_S
        self.on_thread: Callable[[str], None] = lambda _what: None
        """Told before and after whatever a thread would do."""
        self.dead = False
        self.ghost = False
        self.set_task_factory(self._make_task)
        self.set_exception_handler(lambda _loop, _context: None)

    def time(self) -> float:
        return self._timeline.now

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:
        """Without what the base class checks, which costs more than all else here."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    # what a real loop does with threads and signals

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """In a step of its own, on this thread."""
        future = self.create_future()

        def work() -> None:
            try:
                self.on_thread("thread:")
                result = func(*args)
                self.on_thread("thread.")
            except BaseException as error:  # noqa: BLE001 - handed on
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        self.call_soon(work)
        return future

    def add_signal_handler(self, sig: int, callback: Callable[..., Any], *args: Any) -> None:
        self._signals[int(sig)] = lambda: callback(*args)

    def remove_signal_handler(self, sig: int) -> bool:
        return self._signals.pop(int(sig), None) is not None

    def signal(self, number: int) -> None:
        """A signal comes. Without a handler nothing hears it: the run has not begun, or is over."""
        if handler := self._signals.get(number):
            self.call_soon(handler)

    def _write_to_self(self) -> None:
        pass

    def _process_events(self, event_list: Any) -> None:
        pass

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        if not self.is_closed():
            self.create_task(agen.aclose())

    def _make_task(self, loop: Any, coro: Coroutine[Any, Any, Any], **more: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=loop, **more)
        self._born[task] = len(self._born)
        return task

    # steps

    def _run_once(self) -> None:
        self._steps += 1
        self._watch()
        scheduled: list[Any] = self._scheduled  # type: ignore[attr-defined]
        ready: Any = self._ready  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if self.ghost:  # no time passes for the dead
            if not ready and not self._stopping and not scheduled:
                raise Stuck("a ghost waits")
            while scheduled and not ready:
                timer = heapq.heappop(scheduled)
                timer._scheduled = False
                ready.append(timer)
        elif ready or self._stopping:
            self._timeline.advance(self._timeline.now + TICK_S)
        else:
            until = min(scheduled[0]._when if scheduled else float("inf"), self._timeline.next)
            if until == float("inf"):
                raise Stuck("nothing is ready, and nothing will ever be")
            self._timeline.advance(until)
        if self.dead and not self.ghost:  # it died in what the world did meanwhile: no moment passes for it any more
            self._stopping = True
            return
        while scheduled and scheduled[0]._when <= self._timeline.now:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        batch = [handle for handle in ready if not handle._cancelled]
        ready.clear()
        batch = self._ordered(batch)
        if self._manner == "one" and len(batch) > 1:
            ready.extend(batch[1:])
            del batch[1:]
        for place, handle in enumerate(batch):
            if self.dead and not self.ghost:
                ready.extendleft(reversed(batch[place:]))
                self._stopping = True
                return
            if not handle._cancelled:
                handle._run()

    def _ordered(self, batch: list[Any]) -> list[Any]:
        """First in an order that no address in memory has a part in, then in the seed's."""
        if len(batch) > 1:
            batch.sort(key=self._place)
            if self._manner != "line":
                self._chance.shuffle(batch)
        return batch

    def _place(self, handle: Any) -> int:
        owner = getattr(handle._callback, "__self__", None)
        return self._born.get(owner, -1)  # type: ignore[call-overload, no-any-return]

    def _watch(self) -> None:
        if self._steps > (GHOST_STEPS if self.ghost else MOST_STEPS) or self._timeline.now > self._ends:
            raise Stuck(f"goes on for ever: {self._steps} steps, {self._timeline.now:.0f} s")

    def bury(self) -> None:
        """Let what is left of a dead process run out: nothing that it does counts."""
        self.ghost, self._stopping, self._steps = True, False, 0
        for _ in range(20):
            tasks = [task for task in self._born if not task.done()]
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            try:
                self.run_until_complete(_all_ended(tasks))
            except BaseException as error:  # whatever comes of the dead
                if isinstance(error, KeyboardInterrupt):
                    raise
        self._born.clear()
        self.close()


async def _all_ended(tasks: list[asyncio.Task[Any]]) -> None:
    await asyncio.wait(tasks)
