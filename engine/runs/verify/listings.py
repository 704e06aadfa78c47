"""``--level list``: listings of our bucket, and of the sources, against what was recorded of all copies.

What a listing lacks, or states otherwise, is checked by HEAD before it is reported; so is what may lie in an archive.
"""

from __future__ import annotations

from engine.model.command import Command
from engine.model.errors import Blocked, Refused
from engine.model.facts import OPENABLE, Method
from engine.model.failures import FailureClass
from engine.model.urls import identity_hash
from engine.pipeline.routes import Route
from engine.runs.shared.lifecycle import Run
from engine.runs.verify.check import Checker
from engine.runs.verify.record import Recording
from engine.runs.verify.report import Found
from engine.s3.api.answers import Listed
from engine.s3.api.survey import Bounds as Span
from engine.s3.transfer.source import S3Source
from engine.tracking.read.copies import mark


class Listings:
    """Of one verification."""

    def __init__(self, run: Run, checker: Checker, found: Found, recording: Recording) -> None:
        self._run = run
        self._checker = checker
        self._found = found
        self._recording = recording
        self._copies = run.services.ledger.copies

    async def check(self) -> None:
        """Every copy."""
        listed = bytearray()
        await self._copies.seat()
        try:
            await self._list_ours(listed)
        finally:
            await self._copies.unseat()
        async for rows in self._copies.rows(seen=listed):
            if self._run.stop.requested:
                return
            await self._recording.check(await self._copies.of(rows), deep=False, with_source=False)

    async def check_sources(self) -> None:
        """Whether the sources are still what was copied: by listing where they can be listed, else by HEAD."""
        listed = bytearray()
        for bucket, route in (await self._source_buckets()).items():
            if route.method is not Method.HTTP and isinstance(route.source, S3Source):
                await self._list_source(bucket, route.source, listed)
        async for rows in self._copies.rows(seen=listed):
            if self._run.stop.requested:
                return
            await self._recording.check_sources(await self._copies.of(rows))

    async def _list_ours(self, listed: bytearray) -> None:
        async def put(rows: list[Listed], _: list[Span]) -> bool:
            sure = [(row.key, row.size, row.etag) for row in rows if row.storage_class in OPENABLE]
            doubtful = [(row.key, row.size, row.etag) for row in rows if row.storage_class not in OPENABLE]
            met = await self._copies.meet_keys(sure)
            mark(listed, met.equal)
            self._found.unclaimed += met.unclaimed
            if doubtful:  # claimed or not; a HEAD tells whether they can be opened
                self._found.unclaimed += (await self._copies.meet_keys(doubtful)).unclaimed
            named = await self._copies.of(met.equal) if self._found.lines.everything else ()
            await self._recording.equal(met.equal, named)
            return not self._run.stop.requested

        destination = self._run.services.s3.destination
        try:
            await destination.survey(put, self._run.services.retries)
        except Refused as error:
            if error.failure is not FailureClass.REJECTED:
                hint = ("grant s3:ListBucket on it, or check each copy: ", Command("verify --level head"))
                raise Blocked(f"our bucket may not be listed: {error}", hint=hint) from error
            try:
                async for rows in destination.inventory():
                    if not await put(rows, []):
                        return
            except Refused as worse:
                self._run.note(f"our bucket could not be listed ({worse}); each copy was checked by HEAD")

    async def _source_buckets(self) -> dict[str, Route]:
        sources, wanted = self._checker.sources, self._run.services.rules.buckets
        found: dict[str, Route] = {}
        async for rows in self._copies.rows():
            copies = await self._copies.of(rows)
            await sources.learn(copies)
            found = sources.buckets(copies) | found
            if self._run.stop.requested or set(found) >= wanted:
                break
        return found

    async def _list_source(self, bucket: str, source: S3Source, listed: bytearray) -> None:
        async def put(rows: list[Listed], _: list[Span]) -> bool:
            names = [(identity_hash(f"s3://{bucket}/{row.key}"), row.size, row.etag) for row in rows]
            mark(listed, (await self._copies.meet_sources(names)).equal)
            self._recording.say_now_and_then()
            return not self._run.stop.requested

        services = self._run.services
        try:
            await source.survey(bucket, [("", None)], put, services.retries)
        except Refused as error:
            self._run.note(f"s3://{bucket} could not be listed ({error}); its objects were checked by HEAD")
