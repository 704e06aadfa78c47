"""The journal beyond this machine: each batch of rows goes into the bucket before its writes are sent (I17).

``take`` begins to put a batch there and returns at once, so several are on their way side by side; ``settled`` returns
once all of them are there, in whatever order they came. After the first failure nothing more is tried: the run ends,
and what is missing is put there at the next start.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from engine.model.errors import Blocked, Differs, EngineError, Paused, Transient
from engine.model.facts import Occupied
from engine.runs.journal.batches import LONGEST, Pins, batch_document, batch_names, read_batch
from engine.runs.journal.tips import Witness
from engine.tracking.db.chain import Key
from engine.tracking.db.database import Database
from engine.tracking.read import journal
from engine.tracking.read.journal import Checked

Put = Callable[[str, bytes], Awaitable[None]]
Get = Callable[[str, int], Awaitable[bytes]]
CHUNK = 5_000
"""Rows of a batch that is put there later, at most."""
_AT_ONCE = 8
ALONE = "switch.off_box is never: the way back is on this machine alone, and in rollback files that you keep elsewhere"


class OffBox:
    """Of one journal. ``put`` stores an object under a key: it raises Occupied where that is taken, EngineError where
    it cannot. ``get`` reads one, of this size. ``first``: the HMAC of the journal's first row; empty: there is none
    yet."""

    def __init__(self, put: Put, get: Get, key: Key, pins: Pins, first: str) -> None:
        self._put_object = put
        self._get_object = get
        self._key = key
        self._pins = pins
        self._first = first
        self._latest: asyncio.Future[None] | None = None
        self._why = ""

    def take(self, rows: Sequence[Sequence[Any]]) -> None:
        """Begin to put the rows of a commit there; ``rows`` as the table has them."""
        self._first = self._first or rows[0][11]
        document = batch_document(self._key, self._first, self._pins, rows)
        task = asyncio.ensure_future(self._put(rows, document, self._latest))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # asked of it, whoever else does
        self._latest = task

    async def settled(self) -> None:
        """All that was taken is there. Raises Paused."""
        if self._latest is not None:
            await asyncio.shield(self._latest)

    async def catch_up(self, database: Database, witness: Witness, checked: Checked) -> list[tuple[int, int]]:
        """Put there what earlier runs could not, or were not told to, or what somebody has deleted there. Every commit
        of the journal is a batch, so names tell what is missing. Returns the first and last rows of what was missing
        before the latest batches. Raises Blocked, Paused, and other Fatal."""
        if witness.failed is not None:
            what = f"the bucket does not say what it holds of the journal: {witness.failed}"
            if isinstance(witness.failed, Transient):
                raise Paused(what, hint="Nothing was sent. Start the same command again when the bucket answers.")
            raise Blocked(
                what,
                hint="allow s3:ListBucket and s3:GetObject for the destination. switch.off_box: never does without; "
                "then a lost machine takes the way back with it",
            )
        holes = witness.holes(checked.commits)
        missing = [*holes, *witness.lacks(checked.tip.rows)]
        for number, (first, last) in enumerate(_pieces(missing, checked.commits), start=1):
            self.take(await database.read(journal.rows_between(first, last)))
            if number % _AT_ONCE == 0:
                await self.settled()
        await self.settled()
        return holes

    async def _put(self, rows: Sequence[Sequence[Any]], document: bytes, before: asyncio.Future[None] | None) -> None:
        why = self._why or await self._stored(rows, document)
        self._why = self._why or why
        if before is not None:
            await asyncio.shield(before)
        if why:
            raise Paused(
                f"the journal could not be put into the bucket: {why}",
                hint="Nothing that follows was sent. Start the same command again once the bucket takes objects under "
                ".engine/ (s3:PutObject): it first puts there what is missing.",
            )

    async def _stored(self, rows: Sequence[Sequence[Any]], document: bytes) -> str:
        """Why it is not there; empty: it is."""
        for name in batch_names(self._key, self._first, rows[0][0]):
            try:
                try:
                    await self._put_object(name, document)
                except Occupied as taken:
                    if not await self._contradicts(rows, name, taken.facts.size or 0):
                        continue
                    return f"{name} holds other rows of this journal: a copy of this tracking DB is at work elsewhere"
            except EngineError as error:
                return str(error)
            return ""
        return f"{name} and all names like it are taken by something else"

    async def _contradicts(self, rows: Sequence[Sequence[Any]], name: str, size: int) -> bool:
        """Whether rows of ours are there that are not these: no others may follow the same row. What others have put
        there, or a dead process had under way, is no contradiction."""
        if size > LONGEST:
            return False
        try:
            there = read_batch(self._key, await self._get_object(name, size), name)
        except Differs:
            return False
        mine = {row[0]: row[11] for row in rows}
        return any(mine.get(row.id, row.hash) != row.hash for row in there.rows)


def _pieces(ranges: Sequence[tuple[int, int]], commits: Sequence[int]) -> Iterator[tuple[int, int]]:
    """These ranges of rows, a commit at a time."""
    for first, last in ranges:
        inside = commits[bisect_right(commits, first) : bisect_right(commits, last)]
        for start, stop in pairwise([first, *inside, last + 1]):
            for piece in range(start, stop, CHUNK):
                yield piece, min(piece + CHUNK, stop) - 1
