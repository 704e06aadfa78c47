"""Before a wave: are the objects behind its new links there, as they were proved? (I5)

Few are asked for one by one. Where a listing of the whole bucket is cheaper, it is listed once per wave, and only what
the listing lacks is asked for. Only digests of key, size and ETag are kept meanwhile: some eighty bytes per link.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from engine.limiting.retry import Retries
from engine.model.change import Link
from engine.model.copy import Problem
from engine.model.errors import Refused
from engine.pipeline.presence import confirm
from engine.s3.api.answers import Listed
from engine.s3.transfer.destination import S3Destination

_LISTED_A_CALL = 1_000
_FEWEST = 2_000
_DEAR = 20
"""A listed page costs as much time as so many HEADs."""


def listing_pays(records: int, objects: int) -> bool:
    """Whether listing a bucket of so many objects is cheaper than asking for so many records' objects."""
    return records >= _FEWEST and objects / _LISTED_A_CALL * _DEAR <= records


class Claims:
    """Of one wave."""

    def __init__(self, destination: S3Destination, retries: Retries) -> None:
        self._destination = destination
        self._retries = retries
        self._unseen: set[bytes] | None = None

    def expect(self, links: Iterable[Link]) -> None:
        """What a listing is to show."""
        unseen = self._unseen = set() if self._unseen is None else self._unseen
        unseen.update(_digest(link.copy.key, link.copy.size, link.copy.etag) for link in links)

    async def look(self) -> None:
        """List the bucket. Raises Transient, Fatal. A store that cannot be listed so is asked object by object."""
        unseen = self._unseen
        assert unseen is not None

        async def put(rows: list[Listed], _rest: object) -> bool:
            unseen.difference_update([_digest(row.key, row.size, row.etag) for row in rows])
            return bool(unseen)

        try:
            await self._destination.survey(put, self._retries)
        except Refused:
            self._unseen = None

    async def problems(self, links: Sequence[Link]) -> dict[str, Problem]:
        """Of these records, those whose object is not as recorded, or of which the store does not say."""
        unseen = self._unseen
        if unseen is not None:
            links = [link for link in links if _digest(link.copy.key, link.copy.size, link.copy.etag) in unseen]
        copies = {link.id: link.copy for link in links}
        return await confirm(self._destination, copies, self._retries)


def _digest(key: str, size: int, etag: str) -> bytes:
    return blake2b(f"{size}\0{etag}\0{key}".encode(), digest_size=16).digest()
