"""Salesforce in memory, as the pipeline sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime

from engine.model.errors import EngineError
from engine.model.ids import to18
from engine.model.record import Page, Record, Scope


class FakePages:
    """Live and deleted records. ``fail_at``: an error to raise, once, instead of the page of that number (from 0)."""

    def __init__(
        self, records: Iterable[Record] = (), *, deleted: Iterable[Record] = (), page_size: int = 2000
    ) -> None:
        self.live = {record.id: record for record in records}
        self.deleted = {record.id: record for record in deleted}
        self.page_size = page_size
        self.fail_at: dict[int, EngineError] = {}
        self.scopes: list[Scope] = []

    async def pages(self, scope: Scope) -> AsyncIterator[Page]:
        self.scopes.append(scope)
        cursor, number = to18(scope.after_id) if scope.after_id else "", 0
        while True:
            wanted = sorted(row for row in self._table(scope) if row > cursor)
            rows = [record for row in wanted if _within(record := self._table(scope)[row], scope)][: self.page_size]
            if (error := self.fail_at.pop(number, None)) is not None:
                raise error
            if not rows:
                return
            cursor, number = rows[-1].id, number + 1
            yield Page(rows, cursor, scope.deleted)

    async def existing(self, ids: Sequence[str]) -> set[str]:
        return {to18(row) for row in ids} & self.live.keys()

    async def count(self, scope: Scope) -> int:
        table, cursor = self._table(scope), to18(scope.after_id) if scope.after_id else ""
        return sum(1 for row, record in table.items() if row > cursor and _within(record, scope))

    def _table(self, scope: Scope) -> dict[str, Record]:
        return self.deleted if scope.deleted else self.live


def _within(record: Record, scope: Scope) -> bool:
    if scope.account_id and record.account_id != to18(scope.account_id):
        return False
    if scope.since is None:
        return True
    since = datetime.fromisoformat(scope.since).replace(microsecond=0)
    return datetime.fromisoformat(record.modified) >= since
