"""A whole bucket, listed by several workers at once: each lists a span of keys; one without a span cuts another's.

It is exact whatever the keys look like: spans never overlap, and together they cover what is still to be listed. A page
is accepted only if its keys lie behind the span's and ascend. Rows and the spans that remain are handed over together:
stored in one transaction, they let a killed run go on without a key lost or doubled.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Sequence
from operator import eq

from engine.limiting.side_by_side import first_of
from engine.model.errors import Refused
from engine.model.failures import FailureClass
from engine.s3.api.answers import Listed, ListingPage
from engine.s3.api.spans import Span, cut

WORKERS = 12
BATCH = 10_000
PAGE = 1000
_LONGEST_DUE = 8

Ask = Callable[[str, str, int], Awaitable[ListingPage]]
"""Fetches a page: behind this key, or from this token on; so many rows at most. Raises EngineError."""
Bounds = tuple[str, str | None]
"""What remains of a span: (after, until)."""
Put = Callable[[list[Listed], list[Bounds]], Awaitable[bool]]
"""Takes rows, and the spans that remain once they are stored; False: that is enough."""


class Survey:
    """Lists what ``spans`` cover. ``batch`` rows are handed over at a time; at most twice as many wait."""

    def __init__(
        self, ask: Ask, spans: Iterable[Bounds] = (("", None),), *, workers: int = WORKERS, batch: int = BATCH
    ) -> None:
        self._ask = ask
        self._free = [Span(after, until) for after, until in spans]
        self._busy: list[Span] = []
        self._workers = workers
        self._batch = batch
        self._rows: list[Listed] = []
        self._news = asyncio.Event()
        self._over = False

    async def run(self, put: Put) -> bool:
        """List to the end; False when ``put`` had enough before. Raises EngineError, and what ``put`` raises."""
        try:
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(self._work(), name=f"lister-{n}") for n in range(self._workers)]
                whole = await self._hand_over(put)
                for worker in workers:
                    worker.cancel()
        except BaseExceptionGroup as failures:
            raise first_of(failures) from None
        return whole

    async def _hand_over(self, put: Put) -> bool:
        while True:
            over = not self._free and not self._busy
            if over or len(self._rows) >= self._batch:
                rows, self._rows = self._rows, []
                self._tell()
                if not await put(rows, [(span.after, span.until) for span in (*self._busy, *self._free)]):
                    return over
                if over:
                    return True
            else:
                await self._news.wait()

    async def _work(self) -> None:
        while True:
            if self._free:
                await self._list(self._free.pop())
            elif not await self._cut():
                await self._news.wait()

    async def _list(self, span: Span) -> None:
        self._busy.append(span)
        token = ""
        while True:
            page = await self._ask(span.after, token, PAGE)
            keys = [row.key for row in page.rows]
            _must_ascend(span.after, keys)
            stop = len(keys) if span.until is None else bisect_right(keys, span.until)
            self._rows += page.rows[:stop]
            if stop:
                span.after = keys[stop - 1]
            span.pages += 1
            if not page.token or stop < len(keys) or span.after == span.until:
                self._busy.remove(span)
                self._tell()
                return
            if page.token == token:
                raise _unfit("its listing does not advance")
            token = page.token
            self._tell()
            while len(self._rows) >= 2 * self._batch:
                await self._news.wait()

    async def _cut(self) -> bool:
        """Cut the span that has proved longest. False: none is worth it."""
        worth = [span for span in self._busy if span.pages >= span.due and not span.cutting]
        if not worth:
            return False
        span = max(worth, key=lambda each: each.pages)
        span.cutting = True
        other = await cut(span, self._behind)
        span.cutting, span.pages = False, 0
        span.due = min(2 * span.due, _LONGEST_DUE)
        if other is not None:
            other.due = span.due
            self._free.append(other)
            self._tell()
        return True

    async def _behind(self, text: str) -> str | None:
        page = await self._ask(text, "", 1)
        return page.rows[0].key if page.rows else None

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _must_ascend(after: str, keys: Sequence[str]) -> None:
    if keys and (keys[0] <= after or sorted(keys) != keys or any(map(eq, keys, keys[1:]))):
        raise _unfit("its listing is not in the order of its keys")


def _unfit(why: str) -> Refused:
    return Refused(FailureClass.REJECTED, f"the store cannot be listed in parts: {why}")
