"""Pages of records, in the server's Id order, resumable behind any Id.

A scan is a chain of queries ``… AND Id > last ORDER BY Id LIMIT n``. Any of them may still arrive in several answers,
short or even empty, linked by ``nextRecordsUrl``: each is followed to its end. A scan ends only with a query that
brought fewer rows than its limit and as many as it announced. Ids are never compared here: their collation is not
documented, so the server's order is the order.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

from engine.limiting.cooperative import SHARE, yield_to_others
from engine.model.errors import Fatal, Paused, Transient, Usage
from engine.model.failures import FailureClass
from engine.model.ids import to18
from engine.model.record import IdRange, Page, Record, Scope
from engine.salesforce import soql
from engine.salesforce.faults import LocatorLost, QueryTooSlow
from engine.salesforce.rows import MODIFIED, Rows, id_of
from engine.salesforce.session import SalesforceSession
from engine.settings import SalesforceSettings

LARGEST_PAGE = 2000
SMALLEST_PAGE = 200
_ANY_ID = "000000000000000"
_STALLS = 3
"""Restarts without a single row in between before a scan gives up."""
_EMPTY_ANSWERS = 20
"""Answers without a row, one after the other, before a chain of pages is taken for a circle."""
_IDS_A_REQUEST = 300
"""27 bytes each on the wire: well below the 16 KB that a request may have."""


class SalesforcePages:
    """Reads only, by GET."""

    def __init__(
        self,
        session: SalesforceSession,
        settings: SalesforceSettings,
        extra_fields: Sequence[str] = (),
        *,
        page_size: int = LARGEST_PAGE,
    ) -> None:
        self._session = session
        self._settings = settings
        self._rows = Rows(settings, extra_fields)
        self._page_size = max(1, min(LARGEST_PAGE, page_size))

    async def pages(self, scope: Scope) -> AsyncGenerator[Page, None]:
        """All records of the scope. Raises Paused when the org is too busy, Fatal when it goes round in circles."""
        conditions = conditions_of(scope, self._settings)
        cursor = _checked_id(scope.after_id) if scope.after_id else None
        until = _checked_id(scope.until_id) if scope.until_id else None
        way, pace = _Way(cursor, until), _Pace(self._page_size)
        while True:
            statement = soql.select(
                self._rows.fields,
                self._settings.object,
                conditions=[*conditions, *_between(cursor, until)],
                order=["Id"],
                limit=pace.limit,
            )
            received, announced, broken = 0, 0, False
            try:
                async for total, rows in self.answers(statement, deleted=scope.deleted):
                    announced = total
                    if rows:
                        received += len(rows)
                        page = await self._page(rows, deleted=scope.deleted)
                        rows.clear()  # thousands of dictionaries, while the page waits to be taken
                        way.go_on(page)
                        cursor = page.last_id
                        yield page
                        if cursor == until:
                            return
            except LocatorLost:
                broken = True
            except QueryTooSlow as error:
                broken = True
                if not received:
                    pace.slow_down(error)
            if received:
                pace.moved()
            elif broken or announced:
                pace.stalled()
            if not broken and received < pace.limit and received >= announced:
                return
            way.next_query()

    async def existing(self, ids: Sequence[str]) -> set[str]:
        """Which of these Ids are live records that we may see; 18-character Ids."""
        found: set[str] = set()
        for start in range(0, len(ids), _IDS_A_REQUEST):
            chunk = [_checked_id(item) for item in ids[start : start + _IDS_A_REQUEST]]
            statement = soql.select(["Id"], self._settings.object, conditions=[soql.within("Id", chunk)])
            async for _, rows in self.answers(statement):
                found.update(id_of(row) for row in rows)
        return found

    async def edge(
        self, scope: Scope, *, beyond: str | None = None, up_to: str | None = None, last: bool = False
    ) -> str | None:
        """The first Id of the scope, or its ``last``; of those behind ``beyond``, or up to ``up_to``, where given.

        Neither bound need be a record. One call; None where there is no such record.
        """
        conditions = conditions_of(scope, self._settings)
        within = [*_between(scope.after_id, scope.until_id), *_between(beyond, up_to)]
        statement = soql.select(
            ["Id"], self._settings.object, conditions=[*conditions, *within], order=["Id"], descending=last, limit=1
        )
        found = [id_of(row) async for _, rows in self.answers(statement, deleted=scope.deleted) for row in rows]
        return found[0] if found else None

    async def count(self, scope: Scope, ranges: Sequence[IdRange] = ()) -> int:
        """How many records the scope, or these ranges of it, hold now. One call; it may be too slow (Paused)."""
        conditions = [*conditions_of(scope, self._settings), *_between(scope.after_id, scope.until_id)]
        if ranges and not any(each.after is None and each.until is None for each in ranges):
            conditions.append(soql.either(_between(each.after, each.until) for each in ranges))
        statement = soql.select(["COUNT()"], self._settings.object, conditions=conditions)
        async for total, _ in self.answers(statement, deleted=scope.deleted):
            return total
        return 0

    async def check(self, scope: Scope) -> None:
        """Ask for one record, so that a condition that does not stand, or is too long for a scan's questions, is told
        before a run starts. Raises Blocked, Usage."""
        conditions = conditions_of(scope, self._settings)
        longest = [*conditions, *_between(_ANY_ID, _ANY_ID)]
        page = soql.select(
            self._rows.fields, self._settings.object, conditions=longest, order=["Id"], limit=LARGEST_PAGE
        )
        self._session.versioned("query", {"q": page})
        statement = soql.select(["Id"], self._settings.object, conditions=conditions, limit=1)
        try:
            async for _ in self.answers(statement):
                return
        except QueryTooSlow:
            return  # it stands, at least

    async def answers(
        self, statement: str, *, deleted: bool = False
    ) -> AsyncIterator[tuple[int, list[Mapping[str, Any]]]]:
        """A query's answers one by one: the total it announces, and the rows at hand, perhaps none. The rows are the
        caller's, to keep or to clear."""
        path, query = "queryAll" if deleted else "query", {"q": statement}
        total, rows, link = await self._session.get_json(path, query=query, doing="query", read=_read)
        visited: set[str] = set()
        empty = 0
        while True:
            filled = bool(rows)
            yield total, rows
            if link is None:
                return
            empty = 0 if filled else empty + 1
            # An empty answer may well point to where it came from: it has not moved on.
            if (filled and link in visited) or empty > _EMPTY_ANSWERS:
                raise Fatal("Salesforce's pages lead in a circle; nothing is lost, the scan stopped")
            visited.add(link)
            total, rows, link = await self._session.get_json(link, doing="read the next page", read=_read)

    async def _page(self, rows: list[Mapping[str, Any]], *, deleted: bool) -> Page:
        records: list[Record] = []
        for start in range(0, len(rows), SHARE):
            if start:
                await yield_to_others()
            records += [self._rows.record(row) for row in rows[start : start + SHARE]]
        return Page(records, last_id=records[-1].id, deleted=deleted)


def conditions_of(scope: Scope, settings: SalesforceSettings) -> list[str]:
    """The WHERE of a scope, without its cursor. Raises Usage for an account that is no id."""
    return [
        soql.bracketed(settings.where),
        _of_account(settings.account_field, _checked_id(scope.account_id)) if scope.account_id else "",
        soql.since(MODIFIED, scope.since) if scope.since else "",
        "IsDeleted = TRUE" if scope.deleted else "",
    ]


def _of_account(field: str, account_id: str) -> str:
    """A reference takes both forms of an Id; a formula holds text, mostly of 15 characters. Text compares without case,
    so that it may bring other accounts' records too, which the planner leaves out."""
    return soql.within(field, [account_id, account_id[:15]])


def _between(after: str | None, until: str | None) -> list[str]:
    """Conditions: behind the one Id, up to and including the other."""
    return [
        soql.compare("Id", operator, _checked_id(bound)) for operator, bound in ((">", after), ("<=", until)) if bound
    ]


class _Way:
    """Sees to it that a scan never meets an Id twice; otherwise it could go on for ever. Nor may it pass its end.

    Keeps the Ids of the last two queries, and the last Id of every answer: the next query depends on that alone, so
    an endless scan would repeat one of them.
    """

    def __init__(self, start: str | None, end: str | None = None) -> None:
        self._stops = {start} if start else set()
        self._end = end
        self._before: set[str] = set()
        self._now: set[str] = set()

    def go_on(self, page: Page) -> None:
        ids = {record.id for record in page.records}
        if len(ids) != len(page.records) or ids & self._now or ids & self._before or ids & self._stops:
            raise Fatal("Salesforce sent a record twice in one scan; stopped instead of going round in circles")
        if self._end in ids and page.last_id != self._end:
            raise Fatal("Salesforce sent records beyond the end of the range that it was asked for")
        self._now |= ids
        self._stops.add(page.last_id)

    def next_query(self) -> None:
        if self._now:
            self._before, self._now = self._now, set()


class _Pace:
    """How many rows a query asks for, and for how long it may bring none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._timeouts = 0
        self._stalls = 0

    def slow_down(self, error: QueryTooSlow) -> None:
        """After a second timeout in a row, ask for half. Raises the error when there is nothing left to halve."""
        self._timeouts += 1
        if self._timeouts > 1:
            if self.limit <= SMALLEST_PAGE:
                raise error
            self.limit = max(SMALLEST_PAGE, self.limit // 2)
            self._stalls = 0

    def stalled(self) -> None:
        self._stalls += 1
        if self._stalls > _STALLS:
            raise Paused(
                "Salesforce announces more records but does not hand them out",
                hint="Start the same command again; it resumes behind the last record.",
            )

    def moved(self) -> None:
        self._timeouts = self._stalls = 0


def _read(answer: Any) -> tuple[int, list[Mapping[str, Any]], str | None]:
    """Total, rows and link of a query answer. Raises Transient for one that is no query answer."""
    if isinstance(answer, dict):
        rows, link = answer.get("records"), answer.get("nextRecordsUrl")
        total = answer.get("totalSize")
        rows = [] if rows is None else rows
        if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
            if link is not None and not isinstance(link, str):
                link = None
            if not link and answer.get("done") is not True:
                raise Transient(
                    FailureClass.NETWORK, "a Salesforce answer does not say whether there is more, or not where"
                )
            return total if isinstance(total, int) else 0, rows, link or None
    raise Transient(FailureClass.NETWORK, "Salesforce answered a query with something else")


def _checked_id(text: str) -> str:
    try:
        return to18(text)
    except ValueError as error:
        raise Usage(str(error)) from None
