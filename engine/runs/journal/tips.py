"""The journal's chain tip as the destination bucket keeps it: a witness that is not on this machine.

Others may be able to write there. So only tips with our HMAC count. Whatever else lies among them is named and passed
over; it is not even read where its name or size is not that of a tip.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from engine.model.change import ChainTip
from engine.model.errors import Differs, EngineError, Refused
from engine.model.facts import ObjectFacts
from engine.model.location import Location, Origin
from engine.s3.api.answers import Listed
from engine.s3.open import S3
from engine.tracking.db import chain
from engine.tracking.db.chain import Key

PREFIX = ".engine/"
"""Of everything in the destination bucket that is not the file of a record."""

_NAME = re.compile(r"[0-9]{12}\.json")
_LONGEST = 4_096
"""Bytes of a tip; ours have some three hundred."""
_PAGES = 100
"""Of a listing: a hundred thousand tips."""
_READ = 50
"""Tips, the latest first, that are read until one carries our HMAC."""
_EXAMPLES = 3


@dataclass(slots=True)
class Witness:
    """What the bucket says of a journal: its latest tip, or why there is none to compare with."""

    tip: ChainTip | None = None
    why: str = ""
    passed_over: int = 0
    """Objects among the tips that are not ours, or cannot be read."""
    examples: list[str] = field(default_factory=list)

    def pass_over(self, where: str) -> None:
        self.passed_over += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(where)

    @property
    def notes(self) -> list[str]:
        """For a person; empty where the bucket confirms the journal and holds nothing strange."""
        found = [passed_over(self.passed_over, self.examples)] if self.passed_over else []
        return found + ([f"the bucket does not witness that the journal is whole: {self.why}"] if self.why else [])


def passed_over(count: int, examples: Sequence[str]) -> str:
    """In words."""
    more = ", …" if count > len(examples) else ""
    what = f"{count:,} objects among the journal's chain tips in the bucket do not carry our HMAC, or cannot be read"
    return f"{what}: passed over ({', '.join(examples)}{more}). Find out who writes there"


def folder(key: Key, first: str) -> str:
    """Where the tips of one journal lie in the bucket; ``first``: the HMAC of its first row."""
    return f"{PREFIX}journal/{key.fingerprint}-{first[:16]}/"


def tip_key(key: Key, first: str, rows: int) -> str:
    """The key of one tip."""
    return f"{folder(key, first)}{rows:012d}.json"


def own(s3: S3, key: str) -> Location:
    """An object of the destination bucket."""
    bucket = s3.destination.bucket.name
    return Location(Origin("s3", bucket, 443), f"s3://{bucket}/{key}", bucket=bucket, key=key)


async def tip_in_bucket(s3: S3, key: Key, first: str) -> Witness:
    """The latest tip in the bucket that carries our HMAC. Raises nothing: ``why`` says what went wrong."""
    bucket, prefix = s3.destination.bucket.name, folder(key, first)
    witness, refusal = Witness(), ""
    try:
        for row in reversed(await _candidates(s3, prefix, witness)):
            try:
                tip = chain.read_tip(key, await _content(s3, row), row.key)
                if row.key == tip_key(key, first, tip.rows):
                    witness.tip = tip
                    return witness
            except Differs:
                pass
            except Refused as error:
                refusal = str(error)
            witness.pass_over(f"s3://{bucket}/{row.key}")
    except EngineError as error:
        refusal = str(error)
    none = f"s3://{bucket}/{prefix} holds no chain tip of it: none was exported yet, or they were deleted"
    witness.why = witness.why or refusal or none
    return witness


async def _candidates(s3: S3, prefix: str, witness: Witness) -> Sequence[Listed]:
    """The latest that may be tips, by name and size."""
    latest: deque[Listed] = deque(maxlen=_READ)
    pages = 0
    async for rows in s3.destination.inventory(prefix):
        for row in rows:
            if _NAME.fullmatch(row.key.removeprefix(prefix)) and row.size <= _LONGEST:
                latest.append(row)
            else:
                witness.pass_over(f"{s3.destination.bucket}/{row.key}")
        pages += 1
        if pages == _PAGES:
            witness.why = f"{prefix} holds more than {_PAGES * 1_000:,} objects, and the rest was not read"
            break
    return latest


async def _content(s3: S3, row: Listed) -> bytes:
    """No more than the listing says. Raises EngineError."""
    async with s3.ours.open(own(s3, row.key), ObjectFacts(row.size)) as reading:
        return b"".join([bytes(chunk) async for chunk in reading.chunks()])


async def journals_of(s3: S3, key: Key) -> str:
    """Where tips of other journals of this key lie in the bucket; empty where none do, or it does not say."""
    prefix = folder(key, "").removesuffix("/")
    with suppress(EngineError):
        async for rows in s3.destination.inventory(prefix):
            return f"{s3.destination.bucket}/{rows[0].key.rpartition('/')[0]}/"
    return ""
