"""A source over plain http whose hosts are paced, each by a gate of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from engine.model.errors import Refused, Transient
from engine.model.facts import ObjectFacts
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.pacing.gate import Gate
from engine.pacing.gates import Gates
from engine.pipeline.ports import ByteStream, Source


class PacedSource:
    """Fits ``Source``. A request holds its place until the host has answered: see ``s3/paced.py``."""

    def __init__(self, source: Source, gates: Gates) -> None:
        self._source = source
        self._gates = gates

    async def facts(self, location: Location) -> ObjectFacts:
        return await self._asked(location, self._source.facts)

    async def look(self, location: Location) -> ObjectFacts:
        return await self._asked(location, self._source.look)

    async def parts(self, location: Location, facts: ObjectFacts) -> Sequence[int]:
        return await self._source.parts(location, facts)

    async def _asked(
        self, location: Location, ask: Callable[[Location], Coroutine[Any, Any, ObjectFacts]]
    ) -> ObjectFacts:
        gate = self._gates.host(str(location.origin))
        ticket = gate.enter() or await gate.turn()
        try:
            facts = await ask(location)
        except BaseException as error:
            _told(gate, ticket, error)
            raise
        gate.passed(ticket)
        return facts

    @asynccontextmanager
    async def open(self, location: Location, facts: ObjectFacts | None) -> AsyncIterator[ByteStream]:
        gate = self._gates.host(str(location.origin))
        ticket = gate.enter() or await gate.turn()
        async with AsyncExitStack() as stack:
            try:
                stream = await stack.enter_async_context(self._source.open(location, facts))
            except BaseException as error:
                _told(gate, ticket, error)
                raise
            gate.passed(ticket)
            gate.reading += 1
            try:
                yield stream
            finally:
                gate.reading -= 1


def _told(gate: Gate, ticket: int, error: BaseException) -> None:
    if isinstance(error, Transient) and error.failure is FailureClass.THROTTLED:
        gate.refused(ticket, retry_after_s=error.retry_after_s)
    elif isinstance(error, Refused):
        gate.passed(ticket)
    else:
        gate.left(ticket)
