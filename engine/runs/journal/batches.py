"""Rows of the journal as the destination bucket keeps them: an object per batch, put there before its writes are sent.

NDJSON: a header, then a row of ``url_changes`` a line, with all its columns. The HMAC of each row seals it, as in the
tracking DB. The header says of which org, object and field the links are, how many rows follow and how the last one
ends, and has an HMAC of its own. So nobody can change a batch, or cut it short, without the key.

The name of a batch is the number of its first row. Two batches may hold the same rows, because a run that was killed
may still have had one under way; rows that contradict each other are refused.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from engine.model.change import ChainTip
from engine.model.errors import Differs
from engine.runs.journal.own_objects import folder
from engine.s3.api.answers import Listed
from engine.tracking.db import chain
from engine.tracking.db.chain import Key

NAME = re.compile(r"([0-9]{12})(\.[0-9])?\.ndjson")
LONGEST = 256 * 1024 * 1024
"""Bytes of a batch; ours have some hundred thousand."""
_VERSION = 1
_LABEL = "journal batch"
_SPARE = 9
"""Names beside the first one, for where that is taken."""


class Row(NamedTuple):
    """A row of ``url_changes``, in the order of its columns."""

    id: int
    run_id: int
    wave: int
    doclist_entry_id: str
    old_url: str
    new_url: str
    event: str
    at: str
    detail: str
    link_state: str | None
    prev_hash: str
    hash: str

    @property
    def sealed(self) -> tuple[int | str, ...]:
        """What the HMAC covers."""
        return self[:9] if self.link_state is None else (*self[:9], self.link_state)


@dataclass(frozen=True, slots=True)
class Pins:
    """Where the links of a journal are."""

    org: str
    object: str
    field: str
    bucket: str

    def __str__(self) -> str:
        return f"{self.object}.{self.field} of the org {self.org}, with copies in s3://{self.bucket}"


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows of one journal."""

    pins: Pins
    rows: list[Row]

    @property
    def before(self) -> ChainTip:
        """The row before its first one."""
        return ChainTip(self.rows[0].id - 1, self.rows[0].prev_hash)

    @property
    def tip(self) -> ChainTip:
        return ChainTip(self.rows[-1].id, self.rows[-1].hash)


def batch_names(key: Key, first: str, row: int) -> list[str]:
    """Keys for a batch that begins at this row, the usual one first; ``first``: the HMAC of the journal's first row."""
    place = f"{folder(key, first)}{row:012d}"
    return [f"{place}.ndjson", *(f"{place}.{number}.ndjson" for number in range(1, _SPARE + 1))]


def first_row(listed: Listed) -> int:
    """Of the batch with this name."""
    return int(listed.key.rpartition("/")[2].partition(".")[0])


def batch_document(key: Key, first: str, pins: Pins, rows: Sequence[Sequence[Any]]) -> bytes:
    """A batch as it is put into the bucket. ``rows``: as ``Row``; ``first``: as above."""
    header = orjson.dumps(
        {
            "engine_journal": _VERSION,
            "journal": _journal(folder(key, first)),
            "org": pins.org,
            "object": pins.object,
            "field": pins.field,
            "bucket": pins.bucket,
            "first": rows[0][0],
            "rows": len(rows),
            "last": rows[-1][11],
        }
    )
    seal = key.hmac(_LABEL, header)
    lines = [header[:-1] + b',"seal":"' + seal.encode() + b'"}']
    lines += [orjson.dumps(dict(zip(Row._fields, row, strict=True))) for row in rows]
    return b"\n".join(lines) + b"\n"


def read_batch(key: Key | None, document: bytes, where: str) -> Batch:
    """The batch that lies ``where``, checked row by row; without a key, only its shape. Raises Differs."""
    try:
        first, *lines = document.splitlines()
        body, _, tail = first.rpartition(b',"seal":"')
        header = orjson.loads(body + b"}")
        rows = [_row(line) for line in lines]
        pins = Pins(*(str(header[name]) for name in ("org", "object", "field", "bucket")))
        fits = (
            (header["engine_journal"], header["journal"]) == (_VERSION, _journal(where))
            and len(rows) == header["rows"] > 0
            and (rows[0].id, rows[-1].hash) == (header["first"], header["last"])
            and (key is None or hmac.compare_digest(tail, key.hmac(_LABEL, body + b"}").encode() + b'"}'))
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        fits = False
    if not fits or not _consecutive(key, rows):
        raise Differs(f"{where} is no batch of this journal, or was changed", hint=chain.SAFE)
    return Batch(pins, rows)


def _journal(where: str) -> str:
    """The name of the journal, from that of an object or of its folder."""
    return where.rpartition("/")[0].rpartition("/")[2]


def _row(line: bytes) -> Row:
    read = orjson.loads(line)
    row = Row(*(read[name] for name in Row._fields))
    texts = (*row[3:9], *row[10:])
    if not (all(type(each) is int for each in row[:3]) and all(type(each) is str for each in texts)):
        msg = "a row has values of other types"
        raise TypeError(msg)
    return row


def _consecutive(key: Key | None, rows: Sequence[Row]) -> bool:
    before, number = rows[0].prev_hash, rows[0].id
    for row in rows:
        if row.id != number or row.prev_hash != before:
            return False
        if key is not None and row.hash != key.row_hmac(before, row.sealed):
            return False
        before, number = row.hash, number + 1
    return True
