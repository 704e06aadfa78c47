"""A source over plain http: every host has a limiter of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from engine.limiting.limiters import Limiters
from engine.model.facts import ObjectFacts
from engine.model.location import Location
from engine.model.ports import ByteStream, Source


class LimitedSource:
    """Fits ``Source``. A request holds its slot until the host has answered: see ``s3/api/limited.py``."""

    def __init__(self, source: Source, limiters: Limiters) -> None:
        self._source = source
        self._limiters = limiters

    async def facts(self, location: Location) -> ObjectFacts:
        return await self._asked(location, self._source.facts)

    async def look(self, location: Location) -> ObjectFacts:
        return await self._asked(location, self._source.look)

    async def parts(self, location: Location, facts: ObjectFacts) -> Sequence[int]:
        return await self._source.parts(location, facts)

    async def _asked(
        self, location: Location, ask: Callable[[Location], Coroutine[Any, Any, ObjectFacts]]
    ) -> ObjectFacts:
        limiter = self._limiters.host(str(location.origin))
        ticket = limiter.enter() or await limiter.turn()
        try:
            facts = await ask(location)
        except BaseException as error:
            limiter.failed(ticket, error)
            raise
        limiter.passed(ticket)
        return facts

    @asynccontextmanager
    async def open(self, location: Location, facts: ObjectFacts | None) -> AsyncIterator[ByteStream]:
        limiter = self._limiters.host(str(location.origin))
        ticket = limiter.enter() or await limiter.turn()
        async with AsyncExitStack() as stack:
            try:
                stream = await stack.enter_async_context(self._source.open(location, facts))
            except BaseException as error:
                limiter.failed(ticket, error)
                raise
            limiter.passed(ticket)
            limiter.reading += 1
            try:
                yield stream
            finally:
                limiter.reading -= 1
