"""What the destination bucket knows of a journal: chain tips and batches of rows. A witness beyond this machine.

Others may be able to write there. So only what carries our HMAC counts. Whatever else lies there is named and passed
over; it is not even read where its name or size is not that of a tip or a batch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from engine.limiting.retry import Retries
from engine.model.change import ChainTip
from engine.model.errors import Differs, EngineError, Refused
from engine.runs.journal import batches
from engine.runs.journal.batches import Batch, first_row, read_batch
from engine.runs.journal.own_objects import JOURNALS, content_of, folder, listing
from engine.s3.api.answers import Listed
from engine.s3.open import S3
from engine.tracking.db import chain
from engine.tracking.db.chain import Key

_NAME = re.compile(r"[0-9]{12}\.json")
_JOURNAL = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}")
_LONGEST = 4_096
"""Bytes of a tip; ours have some three hundred."""
_OBJECTS = 1_000_000
"""Of a folder: more are not looked at."""
_READ = 50
"""Objects of a kind, the latest first, that are looked at."""
LATEST = 8
"""Batches that are read. A run has fewer under way at a time, so whatever a kill or a failure has left out lies among
them, or behind them."""
_EXAMPLES = 3


@dataclass(slots=True)
class Witness:
    """What the bucket says of a journal, or why there is nothing to compare with."""

    tip: ChainTip | None = None
    """The furthest that it knows."""
    tips: list[ChainTip] = field(default_factory=list)
    """All that was read: each must be a row of the journal."""
    held: list[tuple[int, int]] = field(default_factory=list)
    """First and last rows of the latest batches, in order."""
    earlier: frozenset[int] = frozenset()
    """The first rows of the batches before those, by their names alone."""
    why: str = ""
    failed: EngineError | None = None
    """Why not all of it could be read."""
    others: set[str] = field(default_factory=set)
    """Journals of the same key that are not this one: an earlier tracking DB was lost, or there are two."""
    passed_over: int = 0
    """Objects among them that are not ours, or cannot be read."""
    examples: list[str] = field(default_factory=list)

    def know(self, *tips: ChainTip) -> None:
        self.tips += [tip for tip in tips if tip.rows]
        self.tip = max(self.tips, key=lambda tip: tip.rows, default=None)

    def pass_over(self, where: str) -> None:
        self.passed_over += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(where)

    @property
    def notes(self) -> list[str]:
        """For a person; empty where the bucket confirms the journal and holds nothing strange."""
        found = [passed_over(self.passed_over, self.examples)] if self.passed_over else []
        if self.others:
            found.append(
                f"the bucket also keeps the journal {', '.join(sorted(self.others))}, of an earlier tracking DB with"
                " this key: what that has switched, only a rollback --from-bucket puts back"
            )
        return found + ([f"the bucket does not witness that the journal is whole: {self.why}"] if self.why else [])

    def holes(self, commits: Sequence[int]) -> list[tuple[int, int]]:
        """Of these commits of a journal, known by their first rows: those before the latest batches that have none.
        First and last row of each."""
        begin = self.held[0][0] if self.held and self.earlier else 0
        before = [*(first for first in commits if first < begin), begin]
        return [(first, stop - 1) for first, stop in pairwise(before) if first not in self.earlier]

    def lacks(self, rows: int) -> list[tuple[int, int]]:
        """The rows of a journal of so many that are behind the latest batches, or between them: first and last of each
        range."""
        known = self.held[0][0] - 1 if self.held and self.earlier else 0
        found: list[tuple[int, int]] = []
        for first, last in [*self.held, (rows + 1, rows + 1)]:
            if first > known + 1:
                found.append((known + 1, min(first - 1, rows)))
            known = max(known, last)
        return found


def passed_over(count: int, examples: Sequence[str]) -> str:
    """In words."""
    more = ", …" if count > len(examples) else ""
    what = f"{count:,} objects of the journal's folder in the bucket do not carry our HMAC, or cannot be read"
    return f"{what}: passed over ({', '.join(examples)}{more}). Find out who writes there"


def tip_key(key: Key, first: str, rows: int) -> str:
    """The key of one tip."""
    return f"{folder(key, first)}{rows:012d}.json"


async def witness_of(s3: S3, retries: Retries, key: Key, first: str) -> Witness:
    """The latest tip and batches in the bucket that carry our HMAC. Raises nothing: ``why`` says what went wrong."""
    bucket, prefix = s3.destination.bucket.name, folder(key, first)
    witness = Witness()
    try:
        rows = await listing(s3, retries, folder(key, "").removesuffix("/"), _OBJECTS)
        tips, found = _candidates(s3, prefix, rows, witness)
        if (tip := await latest_tip(s3, retries, key, tips, witness)) is not None:
            witness.know(tip)
        await _read_batches(s3, retries, key, found, witness)
    except EngineError as error:
        witness.failed = error
    if witness.tip is None:
        none = f"s3://{bucket}/{prefix} holds nothing of it: nothing was put there yet, or it was deleted"
        witness.why = witness.why or str(witness.failed or none)
    return witness


async def latest_tip(s3: S3, retries: Retries, key: Key, tips: Sequence[Listed], witness: Witness) -> ChainTip | None:
    """The latest of them that carries our HMAC; what others have put there is passed over. Raises EngineError."""
    for row in reversed(tips[-_READ:]):
        try:
            tip = chain.read_tip(key, await content_of(s3, retries, row), row.key)
            if row.key.endswith(f"/{tip.rows:012d}.json"):
                return tip
        except Differs:
            pass
        except Refused as error:
            witness.failed = error
        witness.pass_over(f"{s3.destination.bucket}/{row.key}")
    return None


async def _read_batches(s3: S3, retries: Retries, key: Key, found: Sequence[Listed], witness: Witness) -> None:
    latest: list[Batch] = []
    earlier = {first_row(row) for row in found}
    for row in reversed(found[-_READ:]):
        if len(latest) == LATEST:
            break
        try:
            latest.append(read_batch(key, await content_of(s3, retries, row), row.key))
        except Differs:
            witness.pass_over(f"{s3.destination.bucket}/{row.key}")
        except Refused as error:
            witness.failed = error
            witness.pass_over(f"{s3.destination.bucket}/{row.key}")
    witness.held = sorted((batch.before.rows + 1, batch.tip.rows) for batch in latest)
    if witness.held:
        witness.earlier = frozenset(first for first in earlier if first < witness.held[0][0])
    witness.know(*(tip for batch in latest for tip in (batch.before, batch.tip)))


def _candidates(
    s3: S3, prefix: str, rows: Sequence[Listed], witness: Witness
) -> tuple[Sequence[Listed], Sequence[Listed]]:
    """What may be tips, and batches, by name and size."""
    tips: list[Listed] = []
    found: list[Listed] = []
    for row in rows:
        name = row.key.removeprefix(prefix)
        if name == row.key:
            if name.endswith(".ndjson"):
                witness.others.add(name.removeprefix(JOURNALS).partition("/")[0])
        elif _NAME.fullmatch(name) and row.size <= _LONGEST:
            tips.append(row)
        elif batches.NAME.fullmatch(name) and row.size <= batches.LONGEST:
            found.append(row)
        else:
            witness.pass_over(f"{s3.destination.bucket}/{row.key}")
    if len(rows) == _OBJECTS:
        witness.why = f"{prefix} and its like hold more than {_OBJECTS:,} objects, and the rest was not read"
    return tips, found


async def journals_of(s3: S3, retries: Retries, key: Key) -> tuple[str, bool]:
    """Where a journal of this key lies in the bucket, and whether with its rows; empty: nowhere. Raises EngineError."""
    rows = await listing(s3, retries, folder(key, "").removesuffix("/"), most=1_000)
    if not rows:
        return "", False
    where = rows[0].key.rpartition("/")[0]
    return f"{s3.destination.bucket}/{where}/", any(row.key.endswith(".ndjson") for row in rows)


async def journals_of_others(s3: S3, retries: Retries, own: str) -> list[str]:
    """Names of journals in the bucket whose keys have another fingerprint than ``own``, as far as the first thousand
    objects tell. Raises EngineError."""
    rows = await listing(s3, retries, JOURNALS, most=1_000)
    names = {row.key.removeprefix(JOURNALS).partition("/")[0] for row in rows if row.key.endswith(".ndjson")}
    return sorted(name for name in names if _JOURNAL.fullmatch(name) and name.partition("-")[0] != own)
