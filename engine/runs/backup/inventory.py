"""The source inventory of a full scan: source buckets are listed once, so that files need no HEAD each.

| `source.inventory` | what happens                                                                            |
|--------------------|-----------------------------------------------------------------------------------------|
| `auto`             | listed, if the scan has so many records that it pays; given up where listing is denied, |
|                    | or where the bucket holds far more than the records name: then HEAD per file            |
| `always`           | listed in full, or the run does not start                                               |
| `never`            | HEAD per file                                                                           |

A listing belongs to one scan: a run that takes the scan up again goes on with it, from the key it had come to, and
everybody else does without. Whatever it lacks or tells wrong is found out by asking the store.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from engine.model.errors import Blocked, Refused, Transient
from engine.pipeline.tally import Tally
from engine.runs.shared.assembly import Services
from engine.runs.shared.source_listing import FEW_RECORDS, TOO_MANY, cannot_be_listed
from engine.s3.api.answers import Listed
from engine.s3.api.survey import Bounds
from engine.settings import SourceSettings
from engine.tracking.write.listings import Listing

log = structlog.get_logger()


class Inventory:
    """Sees to the listings of the ledger's current scan."""

    def __init__(self, services: Services, source: SourceSettings, tally: Tally, note: Callable[[str], None]) -> None:
        self._services = services
        self._listings = services.ledger.listings
        self._source = source
        self._tally = tally
        self._note = note

    async def prepare(self, records: int | None, *, resumed: bool) -> None:
        """List what is to be listed before a full scan of so many records (None: unknown) begins, or is taken up again.

        Raises Blocked where ``always`` cannot be done, Fatal.
        """
        mode, scan_id = self._source.inventory, self._services.ledger.scan_id
        if mode == "never" or scan_id is None:
            return
        if self._source.access == "http" or not self._source.buckets:
            if mode == "always":
                raise Blocked(
                    "source.inventory is always, but the settings name no bucket to list",
                    hint="set source.buckets, and source.access to auto or s3; or source.inventory: auto",
                )
            return
        known = await self._listings.of_scan(scan_id)
        pays = mode == "always" or (not resumed and (records is None or records >= FEW_RECORDS))
        for bucket in self._source.buckets:
            listing = known.get(bucket)
            if listing is None:
                if not pays:
                    continue
                listing = known[bucket] = await self._listings.begin(scan_id, bucket)
            if listing.state == "running":
                await self._list(listing, None if mode == "always" or records is None else TOO_MANY * records)
        self._tally.phase = ""
        if known:
            await self._listings.enforce()

    async def _list(self, listing: Listing, limit: int | None) -> None:
        services, name = self._services, f"s3://{listing.bucket}"
        remaining, objects = list(listing.remaining), listing.objects
        started, why = services.clock.monotonic(), "no credentials for it"

        async def put(rows: list[Listed], left: list[Bounds]) -> bool:
            nonlocal remaining, objects
            await self._listings.add(listing, rows, left)
            remaining, objects = left, objects + len(rows)
            self._tally.phase = f"listing {name}: {objects:,} objects"
            log.info("listing", bucket=listing.bucket, objects=objects, ranges=len(left))
            return limit is None or objects < limit

        self._tally.phase = f"listing {name}: {objects:,} objects"
        for lister in await services.s3.source_access.readers():
            try:
                whole = await lister.survey(listing.bucket, remaining, put, services.retries)
            except (Refused, Transient, Blocked) as error:
                why = str(error)
                continue
            if whole:
                await self._listings.end(listing, "completed")
                self._note(f"{name} listed: {objects:,} objects in {services.clock.monotonic() - started:,.1f} s")
                return
            why = f"{objects:,} objects listed, far more than records name"
            break
        if self._source.inventory == "always":
            raise cannot_be_listed(name, why)
        await self._listings.end(listing, "given_up")
        self._note(f"{name} not listed to its end ({why}): each file is checked by HEAD")
