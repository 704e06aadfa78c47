"""One look at one copy, and at what it was made from. Values out; what becomes of them is ``verify.py``'s business."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from engine.limiting.retry import retry
from engine.model.copy import CopyFault
from engine.model.errors import Refused, Transient
from engine.model.facts import Method, ObjectFacts, Proof
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.ports import Source
from engine.model.record import Record
from engine.model.urls import parse_url
from engine.pipeline.digest import Sums, digest
from engine.pipeline.presence import check_copy
from engine.pipeline.routes import Route, Routes
from engine.pipeline.verify import Mismatch, prove
from engine.runs.shared.assembly import Services
from engine.runs.verify.report import Symbol
from engine.tracking.read.copies import Copy
from engine.tracking.write.verdicts import Raised

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CheckedCopy:
    """What one look came to."""

    copy: Copy
    fault: CopyFault | None = None
    """None: it is as recorded."""
    message: str = ""
    raised: Raised | None = None

    @property
    def symbol(self) -> Symbol:
        return _SYMBOLS[self.fault]


_SYMBOLS = {
    None: Symbol.MATCH,
    CopyFault.MISSING: Symbol.MISSING,
    CopyFault.DIFFERS: Symbol.DIFFER,
    CopyFault.SOURCE_CHANGED: Symbol.DIFFER,
    CopyFault.SOURCE_GONE: Symbol.SOURCE_GONE,
    CopyFault.UNKNOWN: Symbol.ERROR,
}
_STRENGTH = [proof.value for proof in Proof]


class Looking:
    """Looks at copies one by one."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._clock = services.clock
        self._attempts = services.settings.migration.max_attempts
        self.routes = Routes(services.probe)

    async def copy(self, copy: Copy) -> tuple[ObjectFacts | None, CheckedCopy]:
        """HEAD the copy and hold it against what was recorded."""
        destination = self._services.s3.destination
        facts, problem = await check_copy(destination, copy.proved, clock=self._clock, attempts=self._attempts)
        if problem is None:
            assert facts is not None, "a copy without a problem was found"
            moved = facts.etag and facts.etag != copy.proved.etag
            raised = Raised(copy.row, copy.record_id, copy.proved.proof, "", facts.etag) if moved else None
            return facts, CheckedCopy(copy, raised=raised)
        return facts, CheckedCopy(copy, problem.fault, problem.message)

    async def source(self, copy: Copy) -> tuple[ObjectFacts | None, CheckedCopy]:
        """HEAD the source and hold it against what the copy was made from."""
        try:
            facts = await self._source_facts(copy)
        except Transient as error:
            return None, CheckedCopy(copy, CopyFault.UNKNOWN, f"the source: {error}")
        except Refused as error:
            if error.failure is FailureClass.SOURCE_MISSING:
                return None, CheckedCopy(copy, CopyFault.SOURCE_GONE, str(error))
            return None, CheckedCopy(copy, CopyFault.UNKNOWN, f"the source: {error}")
        if change := how_changed(copy, facts):
            return facts, CheckedCopy(copy, CopyFault.SOURCE_CHANGED, f"the source has changed: {change}")
        return facts, CheckedCopy(copy)

    async def shallow(self, copy: Copy, *, with_source: bool) -> CheckedCopy:
        """HEAD; with the source's HEAD beside it a weak proof may become a better one."""
        facts, seen = await self.copy(copy)
        if seen.fault is not None or facts is None or not with_source:
            return seen
        theirs, source_seen = await self.source(copy)
        if source_seen.fault is not None or theirs is None:
            return source_seen
        try:
            proof = prove(theirs, facts)
        except Mismatch as error:
            return CheckedCopy(copy, CopyFault.DIFFERS, f"the copy is not the source in {error}")
        return _found(copy, facts, proof) or seen

    async def deep(self, copy: Copy, *, with_source: bool) -> CheckedCopy:
        """Read the copy's bytes and hold them against what was recorded and against all that the source's side states;
        where neither tells what they should be, the source is read as well."""
        facts, seen = await self.copy(copy)
        if seen.fault is not None or facts is None:
            return seen
        told, theirs = copy.proved.proof != Proof.SIZE and bool(copy.sha256), None
        parts: Sequence[int] = ()
        if with_source or not told:
            theirs, seen = await self.source(copy)
            if seen.fault is not None or theirs is None:
                return seen
            parts = await self._parts_of(copy, theirs)
        try:
            ours = await self._read(self._services.s3.ours, self._services.locate(copy.proved.key), facts, parts)
        except (Transient, Refused) as error:
            return CheckedCopy(copy, CopyFault.UNKNOWN, f"the copy could not be read: {error}")
        sums, proof = dict(ours), None
        if (wrong := _contradiction(copy, facts, sums)) is not None:
            return CheckedCopy(copy, CopyFault.DIFFERS, wrong)
        if theirs is not None:
            held = replace(facts, checksums=tuple({**dict(facts.checksums), **sums}.items()))
            try:
                if (proof := prove(theirs, held)) is None and not told:
                    proof = prove(theirs, held, await self._read_source(copy))
            except (Transient, Refused) as error:
                return CheckedCopy(
                    copy, CopyFault.UNKNOWN, f"the copy is as recorded, but its source could not be read: {error}"
                )
            except Mismatch as error:
                return CheckedCopy(copy, CopyFault.DIFFERS, f"the copy is not the source in {error}")
        raised = Raised(copy.row, copy.record_id, copy.proved.proof, sums["sha256"], facts.etag)
        return _found(copy, facts, proof, sums["sha256"]) or CheckedCopy(copy, raised=raised)

    async def learn(self, copies: list[Copy]) -> None:
        """Make sure that the sources of these can be asked."""
        await self.routes.learn(at for copy in copies if (at := self.location(copy)) is not None)

    def location(self, copy: Copy) -> Location | None:
        """Where the source lies; None where the link cannot be read any more."""
        try:
            return parse_url(copy.url, self._services.rules)
        except Refused:
            return None

    def route(self, at: Location) -> Route:
        """How the source is read."""
        return self.routes.of(at)

    async def _source_facts(self, copy: Copy) -> ObjectFacts:
        return await self._asked(copy, self._head)

    async def _head(self, source: Source, at: Location) -> ObjectFacts:
        facts, _ = await retry(lambda: source.facts(at), clock=self._clock, attempts=self._attempts)
        return facts

    async def _parts_of(self, copy: Copy, facts: ObjectFacts) -> Sequence[int]:
        """Sizes of the parts whose MD5s make the source's ETag; none where nobody tells."""
        if not facts.etag_parts:
            return ()
        try:
            return await self._asked(copy, lambda source, at: source.parts(at, facts))
        except (Transient, Refused):
            return ()  # its ETag then tells nothing, as for a source that keeps quiet

    async def _read_source(self, copy: Copy) -> Sums:
        return await self._asked(copy, lambda source, at: self._read(source, at, None))

    async def _asked(self, copy: Copy, ask: Callable[[Source, Location], Awaitable[T]]) -> T:
        """What ``ask`` makes of the source. Where a vendor's API gives a link per record, that is where it lies."""
        at = parse_url(copy.url, self._services.rules)
        links = self._services.links
        if links is None or self.route(at).method is not Method.HTTP:
            return await self.routes.by(at, lambda route, place: ask(route.source, place))
        fields = tuple(json.loads(copy.extra or "{}").items())
        record = Record(copy.record_id, "", copy.url, "", "", "", fields)
        link, _ = await retry(lambda: links.resolve(record), clock=self._clock, attempts=self._attempts)
        return await ask(links.route.source, link)

    async def _read(self, source: Source, at: Location, facts: ObjectFacts | None, parts: Sequence[int] = ()) -> Sums:
        sums, _ = await retry(lambda: digest(source, at, facts, parts), clock=self._clock, attempts=self._attempts)
        return sums


def how_changed(copy: Copy, facts: ObjectFacts) -> str:
    """How a source is no longer what the copy was made from, by ETag, or by size where there is none; empty: it is."""
    if copy.source_etag and facts.etag:
        return "" if copy.source_etag == facts.etag else f"ETag {facts.etag}, copied was {copy.source_etag}"
    if facts.size is not None and facts.size != copy.proved.size:
        return f"{facts.size} bytes, copied were {copy.proved.size}"
    return ""


def _found(copy: Copy, facts: ObjectFacts, proof: Proof | None, sha256: str = "") -> CheckedCopy | None:
    """A copy that is proved better than before; None: it is not."""
    if proof is None or _STRENGTH.index(proof.value) >= _STRENGTH.index(copy.proved.proof):
        return None
    raised = Raised(copy.row, copy.record_id, proof, sha256, facts.etag)
    return CheckedCopy(copy, None, f"proof: {proof}", raised=raised)


def _contradiction(copy: Copy, facts: ObjectFacts, ours: Mapping[str, str]) -> str | None:
    if copy.sha256 and ours["sha256"] != copy.sha256:
        return f"SHA-256 of the bytes {ours['sha256'][:16]}…, recorded was {copy.sha256[:16]}…"
    if facts.etag and facts.etag_is_md5 and ours["md5"] != facts.etag:
        return f"the bytes do not fit the store's own ETag {facts.etag}"
    return None
