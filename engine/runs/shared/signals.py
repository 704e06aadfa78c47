"""SIGINT and SIGTERM: the first asks for a clean stop, the second quits at once. What is recorded is kept."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from engine.pipeline.stop import Stop

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = b"\x1b[?25h"
AGAIN = "Press Ctrl-C again to quit now."


def _quit(number: int) -> None:
    """End the process at once, with the cursor that a live display hides."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        os.write(sys.stderr.fileno(), SHOW_CURSOR)
    os._exit(128 + number)


@contextmanager
def stopping(stop: Stop, say: Callable[[str], None], drain_s: float) -> Iterator[None]:
    """While inside, signals become stop requests with exit codes 130 and 143."""
    loop = asyncio.get_running_loop()

    def first(number: signal.Signals) -> None:
        if stop.requested and stop.exit_code in {128 + s for s in SIGNALS}:
            say(
                f"Second {number.name}: quitting now. What is recorded is kept. A multipart upload may stay open; the "
                "next run aborts it."
            )
            _quit(number)
        stop.request(f"{number.name} received", 128 + number)
        say(f"{number.name}: no new work; finishing what is in flight (up to {drain_s:g} s). {AGAIN}")

    for number in SIGNALS:
        loop.add_signal_handler(number, first, number)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def tidied(work: Coroutine[Any, Any, T], say: Callable[[str], None]) -> T:
    """For work of which nothing is kept: a signal cancels it, so that it clears away its children and files, and ends
    the process with 130 or 143. The second ends it at once."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    came: list[signal.Signals] = []

    def on(number: signal.Signals) -> None:
        if came:
            _quit(number)
        came.append(number)
        task.cancel()
        say(f"{number.name}: cleaning up. {AGAIN}")

    for number in SIGNALS:
        loop.add_signal_handler(number, on, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not came:
            raise
        raise SystemExit(128 + came[0]) from None
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def until_signal(work: Coroutine[Any, Any, Any]) -> None:
    """For work that has no end of its own: a signal ends it, as wanted."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    for number in SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        pass
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
