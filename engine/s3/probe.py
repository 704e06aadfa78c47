"""How bytes shall travel from one source bucket: asked with a few samples, not per file, until one of them is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from engine.model.errors import Refused, Transient
from engine.model.facts import Method
from engine.model.failures import FailureClass
from engine.model.location import Location

SAMPLES = 5
"""How many objects at most tell of one way."""


@dataclass(frozen=True, slots=True)
class Route:
    """The method, and why, for a person. ``settled``: a sample was read that way, or the settings say so."""

    method: Method
    why: str
    settled: bool = False


class Readable(Enum):
    """What looks at the samples say of one set of credentials."""

    YES = auto()
    NO = auto()
    UNSURE = auto()
    """None was denied, and none was read: they are missing (it takes the right to list to be told so), or nobody
    answered."""


async def readable(samples: Sequence[Location], look: Callable[[Location], Awaitable[object]]) -> Readable:
    """Whether ``look`` may read the samples. A denial stands only if no later sample is read: keys differ in rights.

    What is refused for what it is, such as a version that cannot be, says nothing, and is asked for once more without
    its version. Credentials that hear nothing else are no good. Nor does a store say anything that fails one sample.

    Raises Fatal, and Transient for what no sample is to blame for.
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


def choose(copy: Readable | None, read: Readable | None, access: str) -> Route:
    """The route from what was found. None: that way was not open to begin with. ``access`` is ``source.access``.

    The destination's credentials come first, for no byte then passes here; plain http comes last.
    """
    if access == "http":
        return Route(Method.HTTP, "source.access is http", settled=True)
    if copy is Readable.YES:
        return Route(Method.SERVER_COPY, "the destination's credentials may read the source", settled=True)
    if read is Readable.YES:
        return Route(Method.STREAM, "only the source's own credentials may read the source", settled=True)
    if copy is Readable.UNSURE:
        return Route(Method.SERVER_COPY, "no sample was found, but the destination's credentials may look for it")
    if read is Readable.UNSURE:
        return Route(Method.STREAM, "no sample was found, but the source's credentials may look for it")
    if access == "s3":
        return Route(Method.STREAM, "source.access is s3, though no credentials could read the samples")
    return Route(Method.HTTP, "no credentials here could read the samples through S3")
