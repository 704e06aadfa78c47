"""Salesforce in memory, as the pipeline sees it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from engine.model.errors import EngineError
from engine.model.ids import to18
from engine.model.record import IdRange, Page, Record, Scope


class FakePages:
    """Live and deleted records. ``fail_at``: an error to raise, once, instead of the page of that number (from 0).

    ``order``: the collation of Ids, as a sort key; whoever compares Ids by other rules will stumble here.
    """

    def __init__(
        self,
        records: Iterable[Record] = (),
        *,
        deleted: Iterable[Record] = (),
        page_size: int = 2000,
        order: Callable[[str], Any] = str,
    ) -> None:
        self.live = {record.id: record for record in records}
        self.deleted = {record.id: record for record in deleted}
        self.page_size = page_size
        self.order = order
        self.fail_at: dict[int, EngineError] = {}
        self.scopes: list[Scope] = []
        self.calls = 0

    async def pages(self, scope: Scope) -> AsyncGenerator[Page, None]:
        self.scopes.append(scope)
        cursor, number = scope.after_id, 0
        while True:
            self.calls += 1
            rows = self._rows(scope, cursor)[: self.page_size]
            if (error := self.fail_at.pop(number, None)) is not None:
                raise error
            if not rows:
                return
            cursor, number = rows[-1].id, number + 1
            yield Page(rows, cursor, scope.deleted)

    async def edge(
        self, scope: Scope, *, beyond: str | None = None, up_to: str | None = None, last: bool = False
    ) -> str | None:
        self.calls += 1
        within = [row.id for row in self._rows(scope, scope.after_id)]
        test = self._between(beyond, up_to)
        within = [row for row in within if test(row)]
        return within[-1 if last else 0] if within else None

    async def existing(self, ids: Sequence[str]) -> set[str]:
        return {to18(row) for row in ids} & self.live.keys()

    async def count(self, scope: Scope, ranges: Sequence[IdRange] = ()) -> int:
        wanted = [self._between(each.after, each.until) for each in ranges or [IdRange()]]
        return sum(1 for row in self._rows(scope, scope.after_id) if any(test(row.id) for test in wanted))

    def _rows(self, scope: Scope, cursor: str | None) -> list[Record]:
        test = self._between(cursor, scope.until_id)
        rows = [record for row, record in self._table(scope).items() if test(row) and _within(record, scope)]
        return sorted(rows, key=lambda row: self.order(row.id))

    def _between(self, after: str | None, until: str | None) -> Callable[[str], bool]:
        low = None if after is None else self.order(to18(after))
        high = None if until is None else self.order(to18(until))
        return lambda row: (low is None or self.order(row) > low) and (high is None or self.order(row) <= high)

    def _table(self, scope: Scope) -> dict[str, Record]:
        return self.deleted if scope.deleted else self.live


def _within(record: Record, scope: Scope) -> bool:
    if scope.account_id and record.account_id != to18(scope.account_id):
        return False
    if scope.since is None:
        return True
    since = datetime.fromisoformat(scope.since).replace(microsecond=0)
    return datetime.fromisoformat(record.modified) >= since
