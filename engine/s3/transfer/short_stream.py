"""The fast path of a stream: what a run does a million times where bytes pass this machine, with less work.

It is for objects of which a listing has told size and MD5, up to ``UP_TO`` bytes, and only while all is well: there is
memory, the limiter admits a request at once, a connection is idle. The body is read off the socket into the memory that
it is hashed in and sent from, and is written as every stream is. Whatever goes wrong is left to the usual way, which
reads the object again. Neither overwrites anything (I7).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from engine.limiting.clock import Clock
from engine.limiting.limiter import Limiter
from engine.model.byte_units import MIB
from engine.model.errors import EngineError, Operation
from engine.model.facts import ObjectFacts, Occupied, Stored
from engine.model.location import Location
from engine.s3.api.address import Address
from engine.s3.api.answers import StoreError
from engine.s3.api.client import reading_time
from engine.s3.api.credentials import Keyring
from engine.s3.api.fast import ERROR_BYTES, refusal_of, text_of, unreached
from engine.s3.api.faults import Patience
from engine.s3.api.head_template import HeadTemplate
from engine.s3.api.limited import tell_limiter
from engine.s3.transfer.facts import facts_of
from engine.s3.transfer.fast_path import TOLERATED, TRIED
from engine.s3.transfer.memory import Memory, MemoryClaim
from engine.s3.transfer.object_ref import WITH_SUMS
from engine.s3.transfer.source import S3Source, bound, shown
from engine.s3.wire.connection import Connection
from engine.s3.wire.errors import WireError
from engine.s3.wire.wire import Wire

UP_TO = 4 * MIB
"""Bytes: a body is in memory as a whole, and waits for none of it while it is open."""
Put = Callable[[ObjectFacts, str, memoryview], Awaitable[Stored]]
"""Writes what is in memory as a whole, at a free key. Raises Occupied, StoreError, EngineError."""
Streamed = tuple[ObjectFacts, Stored]
"""What the source said of the object, and what became of it."""


@dataclass(frozen=True, slots=True)
class ReadingWire:
    """The source's service over our own wire."""

    wire: Wire
    keys: Keyring
    known: Callable[[str], Address | None]
    """Where a bucket answers, once that has been found out."""
    limiter: Limiter
    patience: Patience


class ShortStream:
    """Fits ``ports.ShortStream``. Two objects are read for nothing at most in 20, beyond the first 16."""

    def __init__(self, source: S3Source, reading: ReadingWire, memory: Memory, put: Put, clock: Clock) -> None:
        self._source = source
        self._reading = reading
        self._memory = memory
        self._put = put
        self._clock = clock
        self._templates: dict[str, HeadTemplate] = {}
        self._done = self._missed = 0

    def copy(self, source: Location, facts: ObjectFacts, key: str) -> Coroutine[Any, Any, Streamed | None] | None:
        """The copy, which must be awaited. None: not for this object, or not now. See ``ports.ShortStream``."""
        reading, size = self._reading, facts.size
        if (
            not size
            or size > UP_TO
            or not facts.etag_is_md5
            or facts.archived
            or source.version_id is not None
            or self._missed > TRIED + self._done // TOLERATED
            or (keys := reading.keys.current) is None
            or (address := reading.known(source.bucket)) is None
            or (claim := self._memory.at_once(size)) is None
        ):
            return None
        ticket = reading.limiter.enter()
        if not ticket:
            claim.release()
            return None
        connection = reading.wire.idle(address.origin)
        if connection is not None:
            try:
                template = self._template(source.bucket, address)
                template.renew(keys, self._clock)
                head = template.head(source.key, f'"{facts.etag}"')
            except StoreError:
                reading.wire.spare(connection)
            else:
                return self._copy(ticket, connection, head, claim, source, facts, key)
        reading.limiter.left(ticket)
        claim.release()
        return None

    def _template(self, bucket: str, address: Address) -> HeadTemplate:
        if (template := self._templates.get(bucket)) is None:
            fixed = {**WITH_SUMS, **self._source.always}
            template = self._templates[bucket] = HeadTemplate("GET", address, fixed, ("if-match",))
        return template

    async def _copy(
        self,
        ticket: int,
        connection: Connection,
        head: bytes,
        claim: MemoryClaim,
        source: Location,
        listed: ObjectFacts,
        key: str,
    ) -> Streamed | None:
        try:
            found = await self._read(ticket, connection, head, claim, source, listed)
            stored = None if found is None else await self._put(found, key, claim.memory)
        except (StoreError, EngineError, Occupied):
            found = stored = None
        finally:
            claim.release()
        if found is None or stored is None:
            self._missed += 1
            return None
        self._done += 1
        return found, stored

    async def _read(
        self,
        ticket: int,
        connection: Connection,
        head: bytes,
        claim: MemoryClaim,
        source: Location,
        listed: ObjectFacts,
    ) -> ObjectFacts | None:
        """What the answer says of the object, whose bytes are in memory then. None: it is no plain success."""
        reading, limiter, size = self._reading, self._reading.limiter, len(claim.memory)
        try:
            reply = await reading.wire.ask(
                connection, head, method="GET", deadline_s=reading_time(size), max_body=max(size, ERROR_BYTES),
                memory=claim.memory,
            )  # fmt: skip
            if reply.status != 200:
                raise refusal_of(reply)
        except WireError as error:
            tell_limiter(limiter, ticket, unreached(error))
            return None
        except StoreError as error:
            tell_limiter(limiter, ticket, error)
            return None
        except BaseException:
            limiter.left(ticket)
            raise
        limiter.passed(ticket)
        reading.patience.well()
        if reply.landed != size:
            return None
        found = bound(facts_of(text_of(reply.fields)), listed, Operation("GET", shown(source)))
        return await self._source.tagged(found, source)
