"""Are our copies still there, as recorded? Asked before a link is moved to one (I5), and by ``engine verify``.

What HEAD, or a listing, says of an object against what was recorded when it was proved:

| found                                               | verdict |
|-----------------------------------------------------|---------|
| nothing under the key                               | missing |
| another size                                        | differs |
| the recorded ETag                                   | (None)  |
| another ETag, but the recorded full-object checksum | (None)  |
| another ETag, and nothing that outweighs it         | differs |
| no ETag to compare, equal size                      | (None)  |

A copy that is as recorded is of no use to a link where nobody can open it:

| found                                                        | verdict  |
|--------------------------------------------------------------|----------|
| GLACIER, DEEP_ARCHIVE, an archive tier of Intelligent-Tiering | archived |
| the same, being restored                                     | archived |
| the same, with a restored copy that can be read until a date | expiring |
| every other class, GLACIER_IR among them                     | (None)   |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from engine.limiting.retry import Retries
from engine.limiting.side_by_side import side_by_side
from engine.model.copy import CopyFault, Problem, ProvedCopy
from engine.model.errors import Refused, Transient
from engine.model.facts import ARCHIVES, ObjectFacts


class Heads(Protocol):
    """The part of ``ports.Destination`` that is needed here."""

    async def facts(self, key: str) -> ObjectFacts | None: ...


def compare(copy: ProvedCopy, found: ObjectFacts | None) -> Problem | None:
    """The verdict on one copy; None: it is as recorded."""
    if found is None:
        return Problem(CopyFault.MISSING, f"no object under the key {copy.key}")
    if found.size != copy.size:
        return Problem(CopyFault.DIFFERS, f"{found.size} bytes, recorded were {copy.size}")
    if not copy.etag or not found.etag or copy.etag == found.etag:
        return closed(found)
    algorithm, _, digest = copy.checksum.partition(":")
    if digest and found.checksum(algorithm) == digest:
        return closed(found)
    return Problem(CopyFault.DIFFERS, f"ETag {found.etag}, recorded was {copy.etag}")


def closed(found: ObjectFacts) -> Problem | None:
    """What keeps users from opening it. A link stays for good: a restored copy that expires is not enough for it."""
    place = found.storage_class if found.storage_class in ARCHIVES else f"an archive tier of {found.storage_class}"
    if found.archived:
        more = "its restore is still under way" if found.restore == "ongoing" else "it must be restored first"
        return Problem(CopyFault.ARCHIVED, f"the copy lies in {place} and cannot be opened: {more}")
    if found.restore:
        return Problem(
            CopyFault.EXPIRING, f"the copy lies in {place}; its restored copy opens until {found.restore} only"
        )
    return None


async def confirm(
    destination: Heads, copies: Mapping[str, ProvedCopy], retries: Retries, *, concurrency: int = 64
) -> dict[str, Problem]:
    """HEAD every copy; problems by record id, as the copies are. Empty when all are there as recorded.

    A store that stays silent or denies makes a problem, never an exception. Raises Fatal for what stops a run: bad
    credentials, a bucket that is gone.
    """
    problems: dict[str, Problem] = {}

    async def check(each: tuple[str, ProvedCopy]) -> None:
        record, copy = each
        _, problem = await check_copy(destination, copy, retries)
        if problem is not None:
            problems[record] = problem

    await side_by_side(copies.items(), check, at_once=concurrency)
    return problems


async def check_copy(
    destination: Heads, copy: ProvedCopy, retries: Retries
) -> tuple[ObjectFacts | None, Problem | None]:
    """HEAD one copy: what was found, and what is wrong with it. Raises Fatal only."""
    try:
        found = await retries.of(lambda: destination.facts(copy.key))
    except (Transient, Refused) as error:
        return None, Problem(CopyFault.UNKNOWN, str(error))
    return found, compare(copy, found)
