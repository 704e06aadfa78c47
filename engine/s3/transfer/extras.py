"""Headers that a store may refuse though it accepts the write itself: tried, then left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from engine.s3.api.answers import Fields, StoreError
from engine.s3.api.faults import LOGIN
from engine.s3.transfer.object_ref import ObjectRef

T = TypeVar("T")
Write = Callable[[Fields], Awaitable[T]]
"""The write itself, with these further headers. It must be repeatable."""

SETTLED = 3
"""Denials after which the tags of a bucket are not tried any more."""
WITHOUT_TAGS = {"x-amz-tagging-directive": "REPLACE"}
"""Makes a copy leave the tags behind, if it names no others."""


class Extra:
    """One kind of header, for one destination. ``taken``: whether the store accepts it; None: not known yet."""

    def __init__(self) -> None:
        self.taken: bool | None = None

    async def send(self, write: Write[T], named: Fields) -> T:
        """Write with the headers. Where the store accepts this write only without them, later ones go without them too.
        Raises StoreError."""
        if self.taken is False or not named:
            return await write({})
        try:
            done = await write(named)
        except StoreError as error:
            if self.taken or not error.unfit:
                raise
            done = await _else_without(write, error)
            self.taken = False
        else:
            self.taken = True
        return done


class Tags:
    """Whether object tags are copied (``migration.tags``), and where they had to be left behind."""

    def __init__(self, *, keep: bool) -> None:
        self.keep = keep
        self._denied: Counter[str] = Counter()

    def carried(self, bucket: str) -> bool:
        """Whether tags are tried: those of objects in a source bucket, or those written to ours."""
        return self.keep and self._denied.get(bucket, 0) < SETTLED

    def left(self, bucket: str) -> None:
        """An object was copied, but not its tags."""
        self._denied[bucket] += 1

    async def read(self, source: ObjectRef) -> tuple[tuple[str, str], ...]:
        """The tags of an object that has some; empty where they may not be read. Raises StoreError."""
        if not self.carried(source.bucket):
            return ()
        try:
            return await source.tags()
        except StoreError as error:
            if not refused(error):
                raise
            self.left(source.bucket)
            return ()

    async def send(self, write: Write[T], tags: Fields, bucket: str) -> T:
        """Write to our bucket with the tags; without them where it is refused only with them. Raises StoreError."""
        if not tags or not self.carried(bucket):
            return await write({})
        try:
            return await write(tags)
        except StoreError as error:
            if not refused(error):
                raise
            done = await _else_without(write, error)
            self.left(bucket)
            return done

    def note(self) -> str:
        """For the report of a run; empty where no tags were left behind."""
        if not self._denied:
            return ""
        where = ", ".join(f"s3://{bucket}" for bucket in sorted(self._denied))
        return (
            f"object tags were left behind ({where}): that takes s3:GetObjectTagging on the source and"
            " s3:PutObjectTagging on our bucket; migration.tags: drop asks for neither"
        )


def refused(error: StoreError) -> bool:
    """Whether the tags may be why: the right is missing, or the store supports none."""
    return (error.status == 403 and error.code not in LOGIN) or error.unfit


async def _else_without(write: Write[T], error: StoreError) -> T:
    try:
        return await write({})
    except StoreError:
        raise error from None  # it was not about these headers
