"""Before a wave: are the objects behind its new links there, as they were proved? (I5)

A HEAD per object answers that, or, where that is cheaper, one listing of the whole bucket per wave. Then only what the
listing lacks gets a HEAD, and what may lie in an archive: a listing tells no tier and no restore. A listing keeps
digests of key, size and ETag: some eighty bytes per link.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from engine.limiting.retry import Retries
from engine.model.change import Link
from engine.model.copy import Problem
from engine.model.errors import Refused
from engine.model.facts import OPENABLE
from engine.pipeline.presence import confirm
from engine.s3.api.answers import Listed
from engine.s3.transfer.destination import S3Destination

_PER_PAGE = 1_000
_FEWEST_RECORDS = 2_000
_HEADS_PER_PAGE = 20
"""A page of a listing takes as long as so many HEADs."""


def listing_pays(records: int, objects: int) -> bool:
    """Whether listing a bucket of so many objects is cheaper than a HEAD for each of so many records."""
    return records >= _FEWEST_RECORDS and objects / _PER_PAGE * _HEADS_PER_PAGE <= records


class WaveCopies:
    """The copies behind the new links of one wave."""

    def __init__(self, destination: S3Destination, retries: Retries) -> None:
        self._destination = destination
        self._retries = retries
        self._not_listed: set[bytes] | None = None

    def expect(self, links: Iterable[Link]) -> None:
        """What the listing should show."""
        missing = self._not_listed = set() if self._not_listed is None else self._not_listed
        missing.update(_digest(link.copy.key, link.copy.size, link.copy.etag) for link in links)

    async def list_bucket(self) -> None:
        """Raises Transient, Fatal. Where the bucket cannot be listed, each object gets a HEAD."""
        missing = self._not_listed
        assert missing is not None

        async def put(rows: list[Listed], _rest: object) -> bool:
            sure = [row for row in rows if row.storage_class in OPENABLE]
            missing.difference_update([_digest(row.key, row.size, row.etag) for row in sure])
            return bool(missing)

        try:
            await self._destination.survey(put, self._retries)
        except Refused:
            self._not_listed = None

    async def problems(self, links: Sequence[Link]) -> dict[str, Problem]:
        """Of these records, those whose object is not as recorded, or cannot be opened, or checked."""
        missing = self._not_listed
        if missing is not None:
            links = [link for link in links if _digest(link.copy.key, link.copy.size, link.copy.etag) in missing]
        copies = {link.id: link.copy for link in links}
        return await confirm(self._destination, copies, self._retries)


def _digest(key: str, size: int, etag: str) -> bytes:
    return blake2b(f"{size}\0{etag}\0{key}".encode(), digest_size=16).digest()
