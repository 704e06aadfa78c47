"""The listings of our bucket and of the sources, for an import; as those of a backup (``backup/inventory.py``)."""

from __future__ import annotations

from collections.abc import Callable

from engine.model.errors import Blocked, Refused, Transient
from engine.runs.backup.inventory import FEW_RECORDS, TOO_MANY
from engine.runs.shared.lifecycle import Run
from engine.s3.api.answers import Listed
from engine.s3.api.survey import Bounds
from engine.settings import SourceSettings
from engine.tracking.db.legacy_scratch import LegacyScratch

BY_HEAD = "each copy and its source were checked by HEAD"


class OldListings:
    """``taken``: both sides are in the scratch DB. Else every copy is looked at by HEAD."""

    def __init__(self, run: Run, source: SourceSettings, scratch: LegacyScratch, records: int) -> None:
        self._run = run
        self._source = source
        self._scratch = scratch
        self._limit = None if source.inventory == "always" else TOO_MANY * max(records, FEW_RECORDS)
        self._few = records < FEW_RECORDS
        self.taken = False

    async def take(self, say: Callable[[str], None]) -> None:
        """List both sides, where that pays. Raises Blocked where the settings insist on it, and it cannot be done."""
        source = self._source
        wanted = source.inventory == "always" or (source.inventory == "auto" and not self._few)
        if not wanted or source.access == "http" or not source.buckets:
            return
        listed = [bucket for bucket in source.buckets if await self._theirs(bucket, say)]
        self.taken = bool(listed) and await self._ours(say)

    async def _theirs(self, bucket: str, say: Callable[[str], None]) -> bool:
        services, objects, why = self._run.services, 0, "no credentials for it"

        async def put(rows: list[Listed], _: list[Bounds]) -> bool:
            nonlocal objects
            self._scratch.add_theirs(bucket, rows)
            objects += len(rows)
            say(f"listing s3://{bucket}: {objects:,} objects")
            return not self._run.stop.requested and (self._limit is None or objects < self._limit)

        for lister in await services.s3.source_access.readers():
            objects = 0
            try:
                if await lister.survey(bucket, [("", None)], put, services.retries):
                    self._run.note(f"s3://{bucket} listed: {objects:,} objects")
                    return True
            except (Refused, Transient, Blocked) as error:
                why = str(error)
                continue
            if self._run.stop.requested:
                return False
            why = f"{objects:,} objects, far more than the rows name"
            break
        if self._source.inventory == "always":
            raise Blocked(
                f"s3://{bucket} cannot be listed: {why}",
                hint="grant s3:ListBucket on it, or set source.inventory to auto: each file is then checked by HEAD",
            )
        self._run.note(f"s3://{bucket} was not listed ({why}): {BY_HEAD}")
        return False

    async def _ours(self, say: Callable[[str], None]) -> bool:
        destination, objects = self._run.services.s3.destination, 0

        async def put(rows: list[Listed], _: list[Bounds]) -> bool:
            nonlocal objects
            self._scratch.add_ours(rows)
            objects += len(rows)
            say(f"listing {destination.bucket}: {objects:,} objects")
            return not self._run.stop.requested and (self._limit is None or objects < self._limit)

        why = f"it holds more than {self._limit:,} objects" if self._limit is not None else "stopped"
        try:
            if await destination.survey(put, self._run.services.retries):
                self._run.note(f"{destination.bucket} listed: {objects:,} objects")
                return True
        except (Refused, Transient, Blocked) as error:
            why = str(error)
        self._run.note(f"{destination.bucket} was not listed ({why}): {BY_HEAD}")
        return False
