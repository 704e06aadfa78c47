"""Group commit: what comes while a batch is being written goes into the next batch together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class GroupCommit(Generic[T]):
    """Calls ``write`` with batch after batch, one at a time, in the order in which they came."""

    def __init__(self, write: Callable[[list[T]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: list[tuple[Sequence[T], asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def add(self, items: Sequence[T]) -> None:
        """Returns once they are written. Raises what ``write`` raised for their batch.

        They are written even if the caller is cancelled.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.ensure_future(self._write_on())
        await done

    async def flush(self) -> None:
        """Wait until nothing is being written: for a caller that was cancelled in ``add``."""
        if self._writer is not None:
            await asyncio.wait([self._writer])

    async def _write_on(self) -> None:
        """Until nothing waits. A failure goes to the callers whose items were in the batch."""
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._write([item for items, _ in batch for item in items])
            except BaseException as error:
                _answer(batch, error)
                if not isinstance(error, Exception):
                    raise
            else:
                _answer(batch, None)


def _answer(batch: Sequence[tuple[Sequence[T], asyncio.Future[None]]], error: BaseException | None) -> None:
    for _, done in batch:
        if done.done():  # its caller was cancelled; what was written stays
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
