"""The check of one copy, and of what it was made from. It returns values; ``record.py`` writes them down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.model.copy import CLOSED, CopyFault
from engine.model.errors import Refused, Transient
from engine.model.facts import ARCHIVES, ObjectFacts, Proof
from engine.model.failures import FailureClass
from engine.pipeline.presence import check_copy
from engine.pipeline.verify import Mismatch, prove
from engine.runs.shared.assembly import Services
from engine.runs.verify.report import Symbol
from engine.runs.verify.sources import CopySources
from engine.tracking.read.copies import Copy
from engine.tracking.write.verdicts import Raised


@dataclass(frozen=True, slots=True)
class CheckedCopy:
    """What one check found."""

    copy: Copy
    fault: CopyFault | None = None
    """None: it is as recorded."""
    message: str = ""
    raised: Raised | None = None
    """What is to be written down of a copy that is as recorded: a stronger proof, a hash, the ETag of today."""

    @property
    def symbol(self) -> Symbol:
        return _SYMBOLS[self.fault]


_SYMBOLS = {
    None: Symbol.MATCH,
    CopyFault.MISSING: Symbol.MISSING,
    CopyFault.DIFFERS: Symbol.DIFFER,
    CopyFault.ARCHIVED: Symbol.DIFFER,
    CopyFault.EXPIRING: Symbol.DIFFER,
    CopyFault.SOURCE_CHANGED: Symbol.DIFFER,
    CopyFault.SOURCE_GONE: Symbol.SOURCE_GONE,
    CopyFault.UNKNOWN: Symbol.ERROR,
}
_STRENGTH = [proof.value for proof in Proof]


class Checker:
    """Checks copies one by one."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._meant_for_an_archive = services.ours.storage_class in ARCHIVES
        self.sources = CopySources(services)

    async def copy(self, copy: Copy) -> tuple[ObjectFacts | None, CheckedCopy]:
        """HEAD the copy and compare it with what was recorded."""
        services = self._services
        facts, problem = await check_copy(services.s3.destination, copy.proved, services.retries)
        if problem is not None and not (problem.fault in CLOSED and self._meant_for_an_archive and not copy.switched):
            return facts, CheckedCopy(copy, problem.fault, problem.message)
        assert facts is not None, "a copy without a problem was found"
        new_etag = facts.etag and facts.etag != copy.proved.etag
        return facts, CheckedCopy(copy, raised=_raised(copy, facts, copy.proved.proof) if new_etag else None)

    async def source(self, copy: Copy) -> tuple[ObjectFacts | None, CheckedCopy]:
        """HEAD the source and compare it with what the copy was made from."""
        try:
            facts = await self.sources.facts(copy)
        except Transient as error:
            return None, CheckedCopy(copy, CopyFault.UNKNOWN, f"the source: {error}")
        except Refused as error:
            if error.failure is FailureClass.SOURCE_MISSING:
                return None, CheckedCopy(copy, CopyFault.SOURCE_GONE, str(error))
            return None, CheckedCopy(copy, CopyFault.UNKNOWN, f"the source: {error}")
        if change := how_changed(copy, facts):
            return facts, CheckedCopy(copy, CopyFault.SOURCE_CHANGED, f"the source has changed: {change}")
        return facts, CheckedCopy(copy)

    async def by_head(self, copy: Copy, *, with_source: bool) -> CheckedCopy:
        """HEAD; a HEAD of the source beside it may turn a weak proof into a stronger one."""
        facts, checked = await self.copy(copy)
        if checked.fault is not None or facts is None or not with_source:
            return checked
        theirs, of_source = await self.source(copy)
        if of_source.fault is not None or theirs is None:
            return of_source
        try:
            proof = prove(theirs, facts)
        except Mismatch as error:
            return _differs(copy, error)
        return _better(copy, facts, proof) or checked

    async def by_bytes(self, copy: Copy, *, with_source: bool) -> CheckedCopy:
        """Read the copy's bytes and compare them with what was recorded, and with all that the source states.

        Where neither says what the bytes should be, the source is read as well.
        """
        facts, checked = await self.copy(copy)
        if checked.fault is not None or facts is None:
            return checked
        known = copy.proved.proof != Proof.SIZE and bool(copy.sha256)
        theirs = None
        if with_source or not known:
            theirs, checked = await self.source(copy)
            if checked.fault is not None or theirs is None:
                return checked
        parts = await self.sources.parts(copy, theirs) if theirs is not None else ()
        try:
            ours, place = self._services.s3.ours, self._services.locate(copy.proved.key)
            sums = dict(await self.sources.sums_at(ours, place, facts, parts))
        except (Transient, Refused) as error:
            return CheckedCopy(copy, CopyFault.UNKNOWN, f"the copy could not be read: {error}")
        if contradiction := _contradiction(copy, facts, sums):
            return CheckedCopy(copy, CopyFault.DIFFERS, contradiction)
        proof = None
        if theirs is not None:
            held = replace(facts, checksums=tuple({**dict(facts.checksums), **sums}.items()))
            try:
                if (proof := prove(theirs, held)) is None and not known:
                    proof = prove(theirs, held, await self.sources.sums(copy))
            except (Transient, Refused) as error:
                message = f"the copy is as recorded, but its source could not be read: {error}"
                return CheckedCopy(copy, CopyFault.UNKNOWN, message)
            except Mismatch as error:
                return _differs(copy, error)
        sha256 = sums["sha256"]
        same = CheckedCopy(copy, raised=_raised(copy, facts, copy.proved.proof, sha256))
        return _better(copy, facts, proof, sha256) or same


def how_changed(copy: Copy, facts: ObjectFacts) -> str:
    """How a source differs from what the copy was made from: by ETag, or by size where there is none. Empty: not."""
    if copy.source_etag and facts.etag:
        return "" if copy.source_etag == facts.etag else f"ETag {facts.etag}, copied was {copy.source_etag}"
    if facts.size is not None and facts.size != copy.proved.size:
        return f"{facts.size} bytes, copied were {copy.proved.size}"
    return ""


def _differs(copy: Copy, error: Mismatch) -> CheckedCopy:
    return CheckedCopy(copy, CopyFault.DIFFERS, f"the copy differs from the source in {error}")


def _better(copy: Copy, facts: ObjectFacts, proof: Proof | None, sha256: str = "") -> CheckedCopy | None:
    """A copy whose proof is stronger than the recorded one; None: it is not."""
    if proof is None or _STRENGTH.index(proof.value) >= _STRENGTH.index(copy.proved.proof):
        return None
    return CheckedCopy(copy, None, f"proof: {proof}", raised=_raised(copy, facts, proof, sha256))


def _raised(copy: Copy, facts: ObjectFacts, proof: str, sha256: str = "") -> Raised:
    return Raised(copy.row, copy.record_id, proof, sha256, facts.etag)


def _contradiction(copy: Copy, facts: ObjectFacts, ours: Mapping[str, str]) -> str:
    """How the copy's bytes differ from what was recorded, or from what the store says of them. Empty: they do not."""
    if copy.sha256 and ours["sha256"] != copy.sha256:
        return f"SHA-256 of the bytes {ours['sha256'][:16]}…, recorded was {copy.sha256[:16]}…"
    if facts.etag and facts.etag_is_md5 and ours["md5"] != facts.etag:
        return f"the bytes do not match the store's own ETag {facts.etag}"
    return ""
