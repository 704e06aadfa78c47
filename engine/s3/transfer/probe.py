"""By which method the objects of a source bucket travel. A few samples are looked at, until one of them can be read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from engine.model.errors import Blocked, Refused, Transient
from engine.model.facts import Method
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.s3.api.credentials import Keyring
from engine.s3.transfer.source import S3Source

SAMPLES = 5
"""How many objects at most are looked at with one set of credentials."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The method, and why, for a person. ``settled``: a sample was read that way, or the settings say so."""

    method: Method
    why: str
    settled: bool = False


class Readable(Enum):
    """Whether one set of credentials may read the samples."""

    YES = auto()
    NO = auto()
    UNSURE = auto()
    """No sample was denied, and none was read: they are missing (only who may list is told so), or nobody answered."""


class SourceAccess:
    """Whose credentials may read the source buckets. ``access`` is the setting ``source.access``.

    ``across`` reads them with the destination's credentials; None: no copy can cross to the destination. ``keys`` are
    the source's own; None: it is read without any.
    """

    def __init__(
        self, access: str, buckets: Sequence[str], source: S3Source, keys: Keyring | None, across: S3Source | None
    ) -> None:
        self._access = access
        self._buckets = buckets
        self._source = source
        self._keys = keys
        self._across = across

    async def readers(self) -> list[S3Source]:
        """Who may try to read: the destination's credentials where copies can cross, then the source's own."""
        across = [] if self._across is None else [self._across]
        return across + [self._source] * await self._has_keys()

    async def check(self) -> None:
        """HEAD each source bucket. Raises Blocked, Transient; see ``S3Source.check``.

        Nothing is asked where the source is read by plain http, or where there are no credentials to ask with.
        """
        if self._access == "http":
            return
        for reader in (await self.readers())[-1:]:
            for bucket in self._buckets:
                await reader.check(bucket)

    async def probe(self, samples: Sequence[Location]) -> ProbeResult:
        """How objects of the samples' bucket travel. Raises Blocked, Transient."""
        if self._access == "http":
            return choose(None, None, self._access)
        samples = [sample for sample in samples if sample.in_s3 and not sample.presigned]
        if not samples:
            return ProbeResult(Method.HTTP, "the samples are links that carry a right of their own")
        copy = None if self._across is None else await self._may_copy(self._across, samples)
        if copy is Readable.YES:
            return choose(copy, None, self._access)
        read = await readable(samples, self._source.look) if await self._has_keys() else None
        return choose(copy, read, self._access)

    async def _may_copy(self, across: S3Source, samples: Sequence[Location]) -> Readable:
        try:
            return await readable(samples, across.look)
        except Blocked:
            return Readable.NO  # what our own keys cannot do there may be done without them

    async def _has_keys(self) -> bool:
        return self._keys is None or await self._keys.found()


async def readable(samples: Sequence[Location], look: Callable[[Location], Awaitable[object]]) -> Readable:
    """Whether ``look`` may read the samples. One denial does not count if a later sample is read: rights differ by key.

    A sample refused for another reason, such as a version that cannot exist, is tried once more without its version.
    If all samples end like that, the credentials are no good. A store that fails for one sample says nothing.

    Raises Fatal, and Transient where the failure has nothing to do with the sample.
    """
    denied = unknown = unfit = 0
    plain = (replace(sample, version_id=None) for sample in samples if sample.version_id)
    for sample in (*samples, *plain):
        if denied + unknown == SAMPLES:
            break
        try:
            await look(sample)
        except Refused as refused:
            denied += refused.failure is FailureClass.SOURCE_DENIED
            unknown += refused.failure is FailureClass.SOURCE_MISSING
            unfit += refused.failure not in {FailureClass.SOURCE_DENIED, FailureClass.SOURCE_MISSING}
        except Transient as error:
            if error.patient:
                raise
            unknown += 1
        else:
            return Readable.YES
    return Readable.NO if denied or (unfit and not unknown) else Readable.UNSURE


def choose(copy: Readable | None, read: Readable | None, access: str) -> ProbeResult:
    """The method from what was found. None: that way was not open to begin with. ``access`` is ``source.access``.

    The destination's credentials come first, for then no byte passes through this machine; plain http comes last.
    """
    if access == "http":
        return ProbeResult(Method.HTTP, "source.access is http", settled=True)
    if copy is Readable.YES:
        return ProbeResult(Method.SERVER_COPY, "the destination's credentials may read the source", settled=True)
    if read is Readable.YES:
        return ProbeResult(Method.STREAM, "only the source's own credentials may read the source", settled=True)
    if copy is Readable.UNSURE:
        return ProbeResult(Method.SERVER_COPY, "no sample was found, but the destination's credentials may look for it")
    if read is Readable.UNSURE:
        return ProbeResult(Method.STREAM, "no sample was found, but the source's credentials may look for it")
    if access == "s3":
        return ProbeResult(Method.STREAM, "source.access is s3, though no credentials could read the samples")
    return ProbeResult(Method.HTTP, "no credentials here could read the samples through S3")
