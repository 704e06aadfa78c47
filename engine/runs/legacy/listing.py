"""The listings of our bucket and of the sources, for an import; as those of a backup (``backup/inventory.py``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from engine.model.errors import Blocked, Refused, Transient
from engine.model.facts import ObjectFacts
from engine.model.old_copy import Old
from engine.runs.shared.lifecycle import Run
from engine.runs.shared.source_listing import FEW_RECORDS, TOO_MANY, cannot_be_listed
from engine.s3.api.answers import Listed
from engine.s3.api.survey import Bounds
from engine.settings import SourceSettings
from engine.tracking.db.legacy_scratch import LegacyScratch

BY_HEAD = "each copy and its source were checked by HEAD"


class OldListings:
    """Where both sides are listed, ``facts`` knows what they say. Otherwise every copy is looked at by HEAD."""

    def __init__(self, run: Run, source: SourceSettings, scratch: LegacyScratch, records: int) -> None:
        self._run = run
        self._source = source
        self._scratch = scratch
        self._limit = None if source.inventory == "always" else TOO_MANY * max(records, FEW_RECORDS)
        self._few = records < FEW_RECORDS
        self._objects = 0
        """Of the listing under way."""
        self._taken = False

    async def take(self, say: Callable[[str], None]) -> None:
        """List both sides, where that pays. Raises Blocked where the settings insist on it, and it cannot be done."""
        source = self._source
        wanted = source.inventory == "always" or (source.inventory == "auto" and not self._few)
        if not wanted or source.access == "http" or not source.buckets:
            return
        listed = [bucket for bucket in source.buckets if await self._theirs(bucket, say)]
        self._taken = bool(listed) and await self._ours(say)

    def facts(self, olds: Sequence[Old]) -> tuple[dict[str, ObjectFacts], dict[int, ObjectFacts]]:
        """What was listed of these copies, by key, and of their sources, by Id. Raises Fatal."""
        if not self._taken:
            return {}, {}
        return self._scratch.ours(old.key for old in olds), self._scratch.theirs(
            old.source_id for old in olds if old.source_id
        )

    async def _theirs(self, bucket: str, say: Callable[[str], None]) -> bool:
        services, name, why = self._run.services, f"s3://{bucket}", "no credentials for it"
        put = partial(self._put, name, partial(self._scratch.add_theirs, bucket), say)
        for lister in await services.s3.source_access.readers():
            self._objects = 0
            try:
                if await lister.survey(bucket, [("", None)], put, services.retries):
                    self._run.note(f"{name} listed: {self._objects:,} objects")
                    return True
            except (Refused, Transient, Blocked) as error:
                why = str(error)
                continue
            if self._run.stop.requested:
                return False
            why = f"{self._objects:,} objects, far more than the rows name"
            break
        if self._source.inventory == "always":
            raise cannot_be_listed(name, why)
        self._run.note(f"{name} was not listed ({why}): {BY_HEAD}")
        return False

    async def _ours(self, say: Callable[[str], None]) -> bool:
        destination, self._objects = self._run.services.s3.destination, 0
        why = f"it holds more than {self._limit:,} objects" if self._limit is not None else "stopped"
        try:
            put = partial(self._put, str(destination.bucket), self._scratch.add_ours, say)
            if await destination.survey(put, self._run.services.retries):
                self._run.note(f"{destination.bucket} listed: {self._objects:,} objects")
                return True
        except (Refused, Transient, Blocked) as error:
            why = str(error)
        self._run.note(f"{destination.bucket} was not listed ({why}): {BY_HEAD}")
        return False

    async def _put(
        self,
        name: str,
        add: Callable[[list[Listed]], None],
        say: Callable[[str], None],
        rows: list[Listed],
        _: list[Bounds],
    ) -> bool:
        """A page of a listing. Returns whether it is to go on."""
        add(rows)
        self._objects += len(rows)
        say(f"listing {name}: {self._objects:,} objects")
        return not self._run.stop.requested and (self._limit is None or self._objects < self._limit)
