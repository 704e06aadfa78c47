"""The fast path of a copy: what a large run does a million times, with as little work as possible.

It is for objects of which a listing has said everything that a CopyObject needs, and only while all is well: the store
is known to honour ``If-None-Match: *``, the limiter admits requests at once, a connection is idle. Anything but a plain
success is reported to the limiter and left to the usual way, which sends its own requests and finds what is under the
key. Neither overwrites anything (I7).
"""

from __future__ import annotations

import re
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from engine.limiting.clock import Clock
from engine.limiting.limiter import Limiter
from engine.model.facts import ObjectFacts, Stored
from engine.model.location import Location
from engine.s3.api.address import Address
from engine.s3.api.answers import Fields, StoreError
from engine.s3.api.client import time_for
from engine.s3.api.credentials import Keyring
from engine.s3.api.fast import copied, refusal_of, unreached
from engine.s3.api.faults import Patience
from engine.s3.api.head_template import HeadTemplate
from engine.s3.api.limited import LARGE, tell_limiter
from engine.s3.api.sigv4 import path_of
from engine.s3.transfer.conditions import CONDITION, Conditional
from engine.s3.transfer.facts import written
from engine.s3.transfer.guard import Guard
from engine.s3.transfer.target import WritePolicy
from engine.s3.wire.connection import Connection
from engine.s3.wire.errors import WireError
from engine.s3.wire.reply import Reply
from engine.s3.wire.wire import Wire

TRIED, TOLERATED = 16, 20
"""A copy whose ETag does not tie it to the source (SSE-KMS on either side) is made twice: the usual way has other
proofs. Beyond the first 16 and one in 20 such copies the fast path is closed."""
_VARYING = ("x-amz-copy-source", "x-amz-copy-source-if-match")
_VERSION = b"x-amz-version-id"
_SSE, _AES = b"x-amz-server-side-encryption", b"AES256"
_SSE_C = b"x-amz-server-side-encryption-customer-algorithm"
_PLAIN = re.compile(
    rb"\s*(?:<\?xml [^<>]*\?>\s*)?<CopyObjectResult(?: [^<>]*)?>\s*"
    rb"(?:<LastModified>[^<>&]*</LastModified>\s*)?<ETag>(?:&quot;|\")([0-9a-f]{32})(?:&quot;|\")</ETag>\s*"
    rb"(?:<LastModified>[^<>&]*</LastModified>\s*)?</CopyObjectResult>\s*"
)
"""The answer of a store that says no more than it has to."""


@dataclass(frozen=True, slots=True)
class SignedWire:
    """One service over our own wire, as the fast path needs it."""

    wire: Wire
    keys: Keyring
    address: Address
    """Of our bucket."""


class FastPath:
    """Fits ``ports.FastPath``. ``fixed``: the headers that all copies have in common."""

    def __init__(
        self,
        signed: SignedWire,
        limiter: Limiter,
        guard: Guard,
        patience: Patience,
        clock: Clock,
        policy: WritePolicy,
        fixed: Fields,
    ) -> None:
        self._signed = signed
        self._limiter = limiter
        self._guard = guard
        self._patience = patience
        self._clock = clock
        self._tags = policy.tags
        self._limit = min(policy.sizes.copy_limit, LARGE)
        self._template = HeadTemplate("PUT", signed.address, {**fixed, **CONDITION}, _VARYING)
        self._copies = self._untied = 0

    def copy(self, source: Location, facts: ObjectFacts, key: str) -> Coroutine[Any, Any, Stored | None] | None:
        """The copy, which must be awaited. None: not for this object, or not now.

        It returns None where the usual way must do it, and raises no errors of its own.
        """
        if (
            self._untied > TRIED + self._copies // TOLERATED
            or self._guard.verdict is not Conditional.HONOURED
            or facts.size is None
            or facts.size >= self._limit
            or not facts.etag_is_md5
            or source.version_id is not None
            or self._tags.keep is not self._tags.carried(source.bucket)  # its heads ask for tags always or never
            or (keys := self._signed.keys.current) is None
        ):
            return None
        ticket = self._limiter.enter()
        if not ticket:
            return None
        connection = self._signed.wire.idle(self._signed.address.origin)
        if connection is None:
            self._limiter.left(ticket)
            return None
        try:
            self._template.renew(keys, self._clock)
            head = self._template.head(key, f"{source.bucket}/{path_of(source.key)}", f'"{facts.etag}"')
        except StoreError:
            self._signed.wire.spare(connection)
            self._limiter.left(ticket)
            return None
        return self._copy(ticket, connection, head, facts)

    async def _copy(self, ticket: int, connection: Connection, head: bytes, facts: ObjectFacts) -> Stored | None:
        limiter, size = self._limiter, facts.size or 0
        try:
            reply = await self._signed.wire.ask(connection, head, method="PUT", deadline_s=time_for(size))
            if reply.status != 200:
                raise refusal_of(reply)
            copy = _plain(reply, size) or written(copied(reply, "CopyObjectResult"), size)
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
        self._patience.well()
        self._copies += 1
        self._untied += not (copy.etag_is_md5 and copy.etag == facts.etag)
        return Stored(copy)


def _plain(reply: Reply, size: int) -> ObjectFacts | None:
    """``written(copied(reply))`` where the answer holds an ETag and nothing else of the object; otherwise None."""
    found = _PLAIN.fullmatch(reply.body)
    fields = reply.fields
    if found is None or _SSE_C in fields or _VERSION in fields or fields.get(_SSE, _AES).strip() != _AES:
        return None
    return ObjectFacts(size, found[1].decode())
