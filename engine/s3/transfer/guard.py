"""Writes that never overwrite: ``conditions.py`` decides, this file sends the requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from engine.model.facts import ObjectFacts, Occupied
from engine.s3.api.answers import Answer, Fields, StoreError
from engine.s3.transfer.conditions import CONDITION, Conditional, looks_first, sends_condition

Send = Callable[[Fields], Awaitable[Answer]]
"""The write itself, with these further headers. It must be repeatable."""


async def nothing_else() -> None:
    """For writes without another precondition."""


class Guard:
    """Guards the puts, or the copies, of one destination, and learns what its store makes of ``If-None-Match: *``."""

    def __init__(self, look: Callable[[str], Awaitable[ObjectFacts | None]]) -> None:
        """``look``: HEAD of a key; None when it is free."""
        self.look = look
        self._learning = asyncio.Lock()
        self.verdict = Conditional.UNKNOWN

    async def write(
        self,
        key: str,
        send: Send,
        *,
        replace_etag: str | None = None,
        otherwise: Callable[[], Awaitable[None]] = nothing_else,
    ) -> Answer:
        """Write at a free key. Raises Occupied where it is taken, StoreError where the write fails.

        ``replace_etag``: an object with this ETag is our own earlier write, and may be overwritten. ``otherwise`` is
        awaited where a 412 was not about the key: it raises if another precondition explains the 412.
        """
        if replace_etag is not None and (answer := await self._replace(key, send, replace_etag)) is not None:
            return answer
        if self.verdict is Conditional.UNKNOWN:
            # Outside the lock: where every key is taken (a DB was lost), nothing is learned and all go on side by side.
            await self.must_be_free(key)
            waited = self._learning.locked()
            async with self._learning:
                if self.verdict is Conditional.UNKNOWN:
                    if waited:
                        await self.must_be_free(key)
                    return await self._first(key, send, otherwise)
        if looks_first(self.verdict):
            await self.must_be_free(key)
        try:
            return await send(CONDITION if sends_condition(self.verdict) else {})
        except StoreError as error:
            if not error.refused_condition:
                raise
            await self.must_be_free(key)
            await otherwise()
            raise StoreError("ConditionalRequestConflict", 409, "refused as taken, yet the key is free") from None

    async def _replace(self, key: str, send: Send, etag: str) -> Answer | None:
        """Overwrite our own earlier write, known by its ETag; None when the key is free (then ``write`` is due).

        Raises Occupied when anything else is there.
        """
        found = await self.look(key)
        if found is None:
            return None
        if found.etag != etag:
            raise Occupied(found)
        return await send({})

    async def _first(self, key: str, send: Send, otherwise: Callable[[], Awaitable[None]]) -> Answer:
        """The first write, at a key that a HEAD has just found free; ``conditions.py`` has the table."""
        try:
            answer = await send(CONDITION)
        except StoreError as error:
            if not (error.refused_condition or error.unsupported):
                raise
            await self.must_be_free(key)
            if error.refused_condition:
                await otherwise()
            self.verdict = Conditional.UNSUPPORTED
            return await send({})
        try:
            again = await send(CONDITION)
        except StoreError as error:
            if error.refused_condition:
                self.verdict = Conditional.HONOURED
            return answer  # any other failure shows nothing; the write itself is done
        self.verdict = Conditional.IGNORED
        return again

    async def must_be_free(self, key: str, *, unless: str | None = None) -> None:
        """Raises Occupied where the key holds anything but an object with the ETag ``unless``."""
        found = await self.look(key)
        if found is not None and (unless is None or found.etag != unless):
            raise Occupied(found)
