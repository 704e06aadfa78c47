"""How large the files are: from listings of the source buckets, and from HEADs of files that no listing gave.

| files not listed     | what is done                                                       |
|----------------------|--------------------------------------------------------------------|
| up to ``sample``     | a HEAD each: exact                                                 |
| more                 | HEADs of a random sample, by bucket and extension: an interval     |
| ``sample`` is 0      | nothing: the sizes are reported as unknown                         |
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import islice

from engine.model.errors import Blocked, Refused, Transient
from engine.model.estimate import PILOT, allocate, refine
from engine.model.facts import ARCHIVES, Method, ObjectFacts
from engine.model.failures import FailureClass
from engine.model.record import Record
from engine.model.urls import parse_url
from engine.pipeline.routes import Route, either_reading
from engine.runs.shared.assembly import Adapters
from engine.runs.shared.source_listing import TOO_MANY
from engine.s3.api.answers import Listed
from engine.s3.api.survey import Bounds
from engine.settings import SourceSettings
from engine.tracking.db.scratch import RING, Drawn, Scratch
from engine.tracking.read.analysis import Measured

MOST_HEADS = 64
"""HEADs at a time: the source is not ours, and an analysis is in no hurry."""
_CHUNK = 500
_SMALL = 20
"""Strata with fewer files in the sample than this become one per bucket."""

Answer = tuple[int | None, str, bool, str, int]
"""Size, storage class, archived, state (``seen`` or a failure class), the file's id."""


class Sizes:
    """Fills in what a scratch table lacks. Reads the source by List, HEAD, and, on plain http, GETs of one byte."""

    def __init__(
        self,
        adapters: Adapters,
        source: SourceSettings,
        scratch: Scratch,
        routes: dict[str, Route],
        say: Callable[[str], None],
    ) -> None:
        self._adapters = adapters
        self._source = source
        self._scratch = scratch
        self._routes = routes
        self._say = say
        self.measured = Measured()

    async def measure(self, sample: int, *, whole: bool) -> Measured:
        """List where that pays, gather the distinct files, HEAD those that no listing gave. Raises Blocked, Fatal."""
        ((records,),) = self._scratch.ask("SELECT count(*) FROM record WHERE source_id <> 0")
        for bucket in self._buckets(records, sample, whole=whole):
            await self._list(bucket, records)
        self._say("counting distinct files")
        self._scratch.gather()
        await self._look(sample)
        return self.measured

    def _buckets(self, records: int, sample: int, *, whole: bool) -> list[str]:
        mode = self._source.inventory
        named = [bucket for bucket in self._routes if bucket]
        if mode == "always":
            return named
        if mode == "never" or not whole or records <= sample or self._source.access == "http":
            return []
        return named

    async def _list(self, bucket: str, records: int) -> None:
        adapters, measured = self._adapters, self.measured
        always = self._source.inventory == "always"
        objects, why = 0, "no credentials for it"

        async def put(rows: list[Listed], left: list[Bounds]) -> bool:
            nonlocal objects
            self._scratch.add_listed(
                bucket, ((row.key, row.size, row.storage_class, row.storage_class in ARCHIVES) for row in rows)
            )
            objects += len(rows)
            self._say(f"listing s3://{bucket}: {objects:,} objects, {len(left)} ranges open")
            return always or objects <= TOO_MANY * records

        for lister in await adapters.s3.source_access.readers():
            try:
                whole = await lister.survey(bucket, [("", None)], put, adapters.retries)
            except (Refused, Transient, Blocked) as error:
                why = str(error)
                if objects:
                    break  # another lister would add the same objects again
                continue
            why = f"it holds more than {TOO_MANY} objects per record"
            if whole:
                measured.listed[bucket] = objects
            break
        measured.listed_objects += objects
        if bucket not in measured.listed:
            if always:
                raise Blocked(
                    f"s3://{bucket} cannot be listed to its end: {why}",
                    hint="grant s3:ListBucket on it, or set source.inventory to auto: then a sample is measured",
                )
            measured.notes.append(f"s3://{bucket} was not listed to its end ({why})")

    async def _look(self, sample: int) -> None:
        scratch, measured = self._scratch, self.measured
        strata = scratch.strata()
        files = sum(strata.values())
        if files > sample > 0:
            small = [name for name, count in strata.items() if count * sample < _SMALL * files]
            for bucket in {name.rpartition(" ")[0] for name in small}:
                scratch.lump([name for name in small if name.rpartition(" ")[0] == bucket], f"{bucket} (other)")
            strata = scratch.strata()
        measured.strata = strata
        if not sample or not files:
            return
        start = int(self._adapters.clock.random() * (1 << 53)) * (RING >> 53)
        first = allocate(strata, sample if files <= sample else round(PILOT * sample))
        await self._draw(first, start, files if files <= sample else sample)
        if files > sample:
            await self._draw(refine(scratch.moments(strata), first, sample), start, sample)
        scratch.weigh(strata)

    async def _draw(self, wanted: dict[str, int], start: int, of: int) -> None:
        looks = self._scratch.draw(wanted, start)
        while chunk := list(islice(looks, _CHUNK)):
            self._scratch.put_answers(await self._heads(chunk))
            self._say(f"checking files: {self.measured.heads:,} of {of:,} HEADs")

    async def _heads(self, looks: list[Drawn]) -> list[Answer]:
        limiter = asyncio.Semaphore(min(MOST_HEADS, self._adapters.limiters.most))

        async def one(look: Drawn) -> Answer:
            async with limiter:
                return await self._head(look)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(look)) for look in looks]
        self.measured.heads += len(tasks)
        return [task.result() for task in tasks]

    async def _head(self, look: Drawn) -> Answer:
        try:
            facts = await self._adapters.retries.of(lambda: self._facts(look))
        except (Refused, Transient) as error:
            return None, "", error.failure is FailureClass.ARCHIVED, error.failure.value, look.source_id
        if facts.size is None:
            return None, "", False, "no_length", look.source_id
        return facts.size, facts.storage_class, facts.archived, "seen", look.source_id

    async def _facts(self, look: Drawn) -> ObjectFacts:
        location = parse_url(look.url, self._adapters.rules)
        route = self._routes[location.bucket]
        if self._adapters.resolver is not None and route.method is Method.HTTP:
            fields = tuple((name, value) for name, value in json.loads(look.extra or "[]"))
            location = await self._adapters.resolver.resolve(Record(look.record_id, "", look.url, "", "", "", fields))
        return await either_reading(location, route.source.look)
