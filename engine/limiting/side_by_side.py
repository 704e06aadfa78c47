"""Many small pieces of work side by side, a limited number at once; and one piece beside a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from engine.model.errors import leaves

T = TypeVar("T")


async def side_by_side(items: Iterable[T], work: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """``work`` on every item, ``at_once`` of them at a time; items are taken as they are needed.

    The first error cancels the others and is raised by itself, not in a group.
    """
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(max(1, at_once)):
                group.create_task(worker())
    except BaseExceptionGroup as failures:
        raise first_of(failures) from None


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run ``work`` while the block runs, and no longer. Its errors are ignored."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group of sibling tasks; cancellations only follow from it."""
    errors = list(leaves(group))
    return next((each for each in errors if not isinstance(each, asyncio.CancelledError)), errors[0])
