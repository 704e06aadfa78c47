"""A ledger in memory, with the rules of the tracking DB."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from engine.model.change import Ours
from engine.model.errors import Fatal
from engine.model.facts import Method, ObjectFacts, Proof
from engine.model.outcome import Batch, Checkpoint, Duplicate, Outcome, Status
from engine.model.plan import Known, failed_write
from engine.model.record import Record

_COPIED = {Status.BACKED_UP, Status.SWITCHED, Status.ROLLED_BACK}


@dataclass(slots=True)
class MemoryRow:
    """One record: its Salesforce side, its state, and the last outcome that proved a copy."""

    row: int
    record: Record
    url: str
    status: Status
    failure: str
    switched: bool = False
    attempts: int = 0
    copy: Outcome | None = None
    run: int = 0
    unseen: str = ""
    failed_write: str = ""

    def known(self) -> Known:
        record, copy = self.record, self.copy
        return Known(
            row=self.row,
            status=self.status,
            failure=self.failure,
            url=self.url,
            our_url=copy.url if copy else "",
            our_key=copy.key if copy else "",
            modified=record.modified,
            account_id=record.account_id,
            account_name=record.account_name,
            name=record.name,
            source_etag=copy.source_etag if copy else "",
            destination_etag=copy.destination_etag if copy else "",
            attempts=self.attempts,
            proof=copy.proof.value if copy and copy.proof else "",
            run=self.run,
            size=copy.size if copy else None,
            copied_at=copy.at if copy else "",
            unseen=self.unseen,
            failed_write=self.failed_write,
            source_id=copy.source_id if copy else 0,
            duplicate=copy is not None and copy.method is Method.DUPLICATE,
            extra=json.dumps(dict(record.extra)) if record.extra else "",
        )


class MemoryLedger:
    """Fits ``Ledger`` of ``engine/model/ports.py``. ``fail_after`` makes that many writes succeed, then none."""

    def __init__(self, fail_after: int | None = None, run_id: int = 0) -> None:
        self.run_id = run_id
        self.rows: dict[str, MemoryRow] = {}
        self.batches: list[Batch] = []
        self.listed: dict[int, ObjectFacts] = {}
        self.values_of_ours: dict[tuple[str, str], Ours] = {}
        self.checkpoints: dict[int, Checkpoint] = {}
        self._writes_left = fail_after
        self._open_tries: Counter[str] = Counter()

    async def known(self, ids: Sequence[str]) -> dict[str, Known]:
        return {name: self._known(self.rows[name]) for name in ids if name in self.rows}

    def _known(self, row: MemoryRow) -> Known:
        facts = self.listed.get(row.copy.source_id) if row.copy else None
        return row.known()._replace(listed_etag=facts.etag if facts else "")

    async def duplicates(self, source_ids: Sequence[int]) -> dict[int, Duplicate]:
        best: dict[int, Duplicate] = {}
        for row in sorted(self.rows.values(), key=lambda row: row.row):
            copy = row.copy
            if copy is None or copy.proof is None or row.status not in _COPIED or copy.source_id not in source_ids:
                continue
            held = best.get(copy.source_id)
            if copy.source_id and (held is None or _rank(copy.proof) < _rank(held.proof)):
                best[copy.source_id] = Duplicate(
                    row.record.id,
                    copy.key,
                    copy.size or 0,
                    copy.source_etag,
                    copy.destination_etag,
                    copy.checksum,
                    copy.sha256,
                    copy.proof,
                )
        return best

    async def ours(self, held: Sequence[tuple[str, str]]) -> dict[str, Ours]:
        return {each[0]: self.values_of_ours[each] for each in held if each in self.values_of_ours}

    async def inventory(self, source_ids: Sequence[int]) -> dict[int, ObjectFacts]:
        return {number: self.listed[number] for number in source_ids if number in self.listed}

    async def write(self, batch: Batch) -> None:
        if self._writes_left is not None:
            if self._writes_left == 0:
                raise Fatal("tracking database: the disk is full", hint="free some space")
            self._writes_left -= 1
        self.batches.append(batch)
        for attempt in batch.attempts:
            self._open_tries[attempt.record_id] += 1
            if attempt.record_id in self.rows:
                self.rows[attempt.record_id].attempts += 1
        for outcome in batch.outcomes:
            self._store(outcome)
        for touch in batch.touches:
            if touch.record.id in self.rows:
                row = self.rows[touch.record.id]
                row.record = touch.record
                if touch.original and row.copy is not None and row.copy.url == touch.record.url:
                    row.status, row.failure, row.url, row.switched = Status.SWITCHED, "", touch.original, True
        for look in batch.looks:
            if look.news and look.record.id in self.rows:
                row = self.rows[look.record.id]
                row.record, row.unseen = look.record, look.unseen
        self.checkpoints.update((each.range, each) for each in batch.checkpoints)

    async def pending(self, failures: Sequence[str]) -> AsyncIterator[list[Record]]:
        again = [
            Record(r.record.id, r.record.name, r.url, *_rest(r.record))
            for r in sorted(self.rows.values(), key=lambda r: (r.status is Status.FAILED and r.run + 1, r.row))
            if r.status is Status.PENDING or (r.status is Status.FAILED and r.failure in failures)
        ]
        for start in range(0, len(again), 2000):
            yield again[start : start + 2000]

    async def mark_gone(self, ids: Sequence[str]) -> int:
        live = [self.rows[i] for i in set(ids) if i in self.rows and self.rows[i].status is not Status.GONE]
        for row in live:
            row.status, row.failure, row.run = Status.GONE, "deleted", self.run_id
        return len(live)

    async def max_row(self) -> int:
        return len(self.rows)

    async def rows_not_in(self, seen: bytearray, before_row: int) -> AsyncIterator[list[tuple[int, str]]]:
        absent = [
            (r.row, r.record.id)
            for r in sorted(self.rows.values(), key=lambda row: row.row)
            if r.row <= before_row
            and r.status is not Status.GONE
            and (r.row >> 3 >= len(seen) or not seen[r.row >> 3] >> (r.row & 7) & 1)
        ]
        if absent:
            yield absent

    def counts(self) -> Counter[str]:
        """Records per status."""
        return Counter(row.status.value for row in self.rows.values())

    def _store(self, outcome: Outcome) -> None:
        record, status = outcome.record, outcome.status
        failure = outcome.failure.value if outcome.failure else ""
        tries = max(0, outcome.attempts - self._open_tries.pop(record.id, 0))
        row = self.rows.get(record.id)
        if row is None:
            tries = outcome.attempts
            row = self.rows[record.id] = MemoryRow(len(self.rows) + 1, record, record.url, status, failure)
        row.attempts += tries
        row.record, row.run, row.unseen = record, self.run_id, ""
        ours = row.copy.url if row.copy else ""
        if ours and record.url == ours and status not in (Status.ROLLED_BACK, Status.GONE):
            row.status, row.failure, row.switched = Status.SWITCHED, "", True
            return
        row.status, row.failure = status, failure
        if status not in (Status.SWITCHED, Status.ROLLED_BACK, Status.GONE):
            row.url = record.url
        if status is not Status.GONE:
            row.switched = status is Status.SWITCHED
        if status in _COPIED:
            row.copy, row.failed_write = outcome, ""
        else:
            row.failed_write = failed_write(outcome.destination_etag, outcome.key) or row.failed_write


def _rank(proof: Proof) -> int:
    return list(Proof).index(proof)


def _rest(record: Record) -> tuple[str, str, str, tuple[tuple[str, str], ...]]:
    return record.account_id, record.account_name, record.modified, record.extra
