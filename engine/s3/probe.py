"""How bytes shall travel from one source bucket: asked once, with a few samples, not per file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from engine.model.facts import Method
from engine.model.location import Location
from engine.s3.answers import StoreError

SAMPLES = 5
"""How many objects at most tell of one way."""


@dataclass(frozen=True, slots=True)
class Route:
    """The method, and why, for a person."""

    method: Method
    why: str


class Readable(Enum):
    """What HEADs of the samples say of one set of credentials."""

    YES = auto()
    NO = auto()
    UNSURE = auto()
    """Every sample is missing: that decides nothing, but it takes the right to list to be told so."""


async def readable(samples: Sequence[Location], head: Callable[[Location], Awaitable[object]]) -> Readable:
    """Whether ``head`` may read the samples. A denial stands only if no later sample is read: keys differ in rights.

    400 answers a version or key that cannot be, and a bad login; a HEAD has no body to tell which. So such a sample
    says nothing, and is asked for once more without its version. Credentials that hear nothing else are no good.

    Raises StoreError for anything but missing, denied and unfit.
    """
    denied = missing = unfit = 0
    plain = (replace(sample, version_id=None) for sample in samples if sample.version_id)
    for sample in (*samples, *plain):
        if denied + missing == SAMPLES:
            break
        try:
            await head(sample)
        except StoreError as error:
            if error.missing:
                missing += 1
            elif error.status in {401, 403}:
                denied += 1
            elif error.status == 400:
                unfit += 1
            else:
                raise
        else:
            return Readable.YES
    return Readable.NO if denied or (unfit and not missing) else Readable.UNSURE


def choose(copy: Readable | None, read: Readable | None, access: str) -> Route:
    """The route from what was found. None: that way was not open to begin with. ``access`` is ``source.access``.

    The destination's credentials come first, for no byte then passes here; plain http comes last.
    """
    if access == "http":
        return Route(Method.HTTP, "source.access is http")
    if copy is Readable.YES:
        return Route(Method.SERVER_COPY, "the destination's credentials may read the source")
    if read is Readable.YES:
        return Route(Method.STREAM, "only the source's own credentials may read the source")
    if copy is Readable.UNSURE:
        return Route(Method.SERVER_COPY, "no sample exists, but the destination's credentials may look for it")
    if read is Readable.UNSURE:
        return Route(Method.STREAM, "no sample exists, but the source's credentials may look for it")
    if access == "s3":
        return Route(Method.STREAM, "source.access is s3, though no credentials could read the samples")
    return Route(Method.HTTP, "no credentials here may read the source through S3")
