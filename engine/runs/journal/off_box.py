"""The journal beyond this machine: each batch of rows goes into the bucket before its writes are sent (I17).

``take`` begins to put a batch there and returns at once, so several are on their way side by side; ``settled`` returns
once all of them are there, in whatever order they came. After the first failure nothing more is tried: the run ends,
and what is missing is put there at the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from engine.model.errors import Blocked, EngineError, Paused, Transient
from engine.model.facts import Occupied
from engine.runs.journal.batches import Pins, batch_document, batch_names
from engine.runs.journal.tips import Witness
from engine.tracking.db.chain import Key
from engine.tracking.db.database import Database
from engine.tracking.read import journal

Put = Callable[[str, bytes], Awaitable[None]]
CHUNK = 5_000
"""Rows of a batch that is put there later."""
ALONE = "switch.off_box is never: the way back is on this machine alone, and in rollback files that you keep elsewhere"


class OffBox:
    """Of one journal. ``put`` stores an object under a key: it raises Occupied where that is taken, EngineError where
    it cannot. ``first``: the HMAC of the journal's first row; empty: there is none yet."""

    def __init__(self, put: Put, key: Key, pins: Pins, first: str) -> None:
        self._put_object = put
        self._key = key
        self._pins = pins
        self._first = first
        self._latest: asyncio.Future[None] | None = None
        self._why = ""

    def take(self, rows: Sequence[Sequence[Any]]) -> None:
        """Begin to put the rows of a commit there; ``rows`` as the table has them."""
        self._first = self._first or rows[0][11]
        document = batch_document(self._key, self._first, self._pins, rows)
        task = asyncio.ensure_future(self._put(rows[0][0], document, self._latest))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # asked of it, whoever else does
        self._latest = task

    async def settled(self) -> None:
        """All that was taken is there. Raises Paused."""
        if self._latest is not None:
            await asyncio.shield(self._latest)

    async def catch_up(self, database: Database, witness: Witness, rows: int) -> None:
        """Put there what earlier runs could not, or were not told to. Raises Blocked, Paused, and other Fatal."""
        if witness.failed is not None:
            what = f"the bucket does not say what it holds of the journal: {witness.failed}"
            if isinstance(witness.failed, Transient):
                raise Paused(what, hint="Nothing was sent. Start the same command again when the bucket answers.")
            raise Blocked(
                what,
                hint="allow s3:ListBucket and s3:GetObject for the destination. switch.off_box: never does without; "
                "then a lost machine takes the way back with it",
            )
        for first, last in witness.lacks(rows):
            for start in range(first, last + 1, CHUNK):
                stop = min(start + CHUNK - 1, last)
                self.take(await database.read(journal.rows_between(start, stop)))
                await self.settled()

    async def _put(self, number: int, document: bytes, before: asyncio.Future[None] | None) -> None:
        why = self._why or await self._stored(number, document)
        self._why = self._why or why
        if before is not None:
            await asyncio.shield(before)
        if why:
            raise Paused(
                f"the journal could not be put into the bucket: {why}",
                hint="Nothing that follows was sent. Start the same command again once the bucket takes objects under "
                ".engine/ (s3:PutObject): it first puts there what is missing.",
            )

    async def _stored(self, number: int, document: bytes) -> str:
        """Why it is not there; empty: it is."""
        for name in batch_names(self._key, self._first, number):
            try:
                await self._put_object(name, document)
            except Occupied:
                continue
            except EngineError as error:
                return str(error)
            return ""
        return f"{name} and all names like it are taken by something else"
