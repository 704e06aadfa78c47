"""Pages of records, in the server's Id order, resumable behind any Id.

A scan is a chain of queries ``… AND Id > last ORDER BY Id LIMIT n``. The rows of one query may still come in several
answers, short or even empty, linked by ``nextRecordsUrl``: each chain is followed to its end. A scan ends only with a
query that brought fewer rows than its limit and as many as it announced. Ids are never compared here: how Salesforce
orders them is not documented, so the server's order counts.
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
from engine.settings import RecordSettings

LARGEST_PAGE = 2000
SMALLEST_PAGE = 200
_ANY_ID = "000000000000000"
_STALLS = 3
"""A scan gives up after so many restarts in a row that brought nothing."""
_EMPTY_ANSWERS = 20
"""More empty answers in a row than this mean that the pages lead in a circle."""
_IDS_A_REQUEST = 300
"""27 bytes each on the wire: well below the 16 KiB of a request."""


class SalesforcePages:
    """Reads records, by GET alone."""

    def __init__(
        self,
        session: SalesforceSession,
        records: RecordSettings,
        extra_fields: Sequence[str] = (),
        *,
        page_size: int = LARGEST_PAGE,
    ) -> None:
        self._session = session
        self.records = records
        self._rows = Rows(records, extra_fields)
        self._page_size = max(1, min(LARGEST_PAGE, page_size))

    async def pages(self, scope: Scope) -> AsyncGenerator[Page, None]:
        """All records of the scope. Raises Paused when the org is too busy, Fatal when its pages lead in a circle."""
        conditions = conditions_of(scope, self.records)
        cursor = _checked_id(scope.after_id) if scope.after_id else None
        until = _checked_id(scope.until_id) if scope.until_id else None
        seen, size = _SeenIds(cursor, until), _PageSize(self._page_size)
        while True:
            statement = soql.select(
                self._rows.fields,
                self.records.object,
                conditions=[*conditions, *_between(cursor, until)],
                order=["Id"],
                limit=size.limit,
            )
            received, announced, broken = 0, 0, False
            try:
                async for total, rows in self.answers(statement, deleted=scope.deleted):
                    announced = total
                    if rows:
                        received += len(rows)
                        page = await self._page(rows, deleted=scope.deleted)
                        rows.clear()  # thousands of dictionaries, not needed while the page waits
                        seen.add(page)
                        cursor = page.last_id
                        yield page
                        if cursor == until:
                            return
            except LocatorLost:
                broken = True
            except QueryTooSlow as error:
                broken = True
                if not received:
                    size.halve(error)
            if received:
                size.brought_rows()
            elif broken or announced:
                size.brought_none()
            if not broken and received < size.limit and received >= announced:
                return
            seen.next_query()

    async def existing(self, ids: Sequence[str]) -> set[str]:
        """Which of these Ids are live records that we may see, as 18-character Ids."""
        found: set[str] = set()
        for start in range(0, len(ids), _IDS_A_REQUEST):
            chunk = [_checked_id(item) for item in ids[start : start + _IDS_A_REQUEST]]
            statement = soql.select(["Id"], self.records.object, conditions=[soql.within("Id", chunk)])
            async for _, rows in self.answers(statement):
                found.update(id_of(row) for row in rows)
        return found

    async def edge(
        self, scope: Scope, *, beyond: str | None = None, up_to: str | None = None, last: bool = False
    ) -> str | None:
        """The first or, with ``last``, the last Id of the scope behind ``beyond`` and up to ``up_to``, where given.

        Neither bound must be a record. One call; None where there is no such record.
        """
        conditions = conditions_of(scope, self.records)
        within = [*_between(scope.after_id, scope.until_id), *_between(beyond, up_to)]
        statement = soql.select(
            ["Id"], self.records.object, conditions=[*conditions, *within], order=["Id"], descending=last, limit=1
        )
        found = [id_of(row) async for _, rows in self.answers(statement, deleted=scope.deleted) for row in rows]
        return found[0] if found else None

    async def count(self, scope: Scope, ranges: Sequence[IdRange] = ()) -> int:
        """How many records the scope, or these ranges of it, hold now. One call; it may be too slow (Paused)."""
        conditions = [*conditions_of(scope, self.records), *_between(scope.after_id, scope.until_id)]
        if ranges and not any(each.after is None and each.until is None for each in ranges):
            conditions.append(soql.either(_between(each.after, each.until) for each in ranges))
        statement = soql.select(["COUNT()"], self.records.object, conditions=conditions)
        async for total, _ in self.answers(statement, deleted=scope.deleted):
            return total
        return 0

    async def check(self, scope: Scope) -> None:
        """Ask for one record, so that a condition that is wrong, or too long for the queries of a scan, is reported
        before a run starts. Raises Blocked, Usage."""
        conditions = conditions_of(scope, self.records)
        longest = [*conditions, *_between(_ANY_ID, _ANY_ID)]
        page = soql.select(self._rows.fields, self.records.object, conditions=longest, order=["Id"], limit=LARGEST_PAGE)
        self._session.versioned("query", {"q": page})
        statement = soql.select(["Id"], self.records.object, conditions=conditions, limit=1)
        try:
            async for _ in self.answers(statement):
                return
        except QueryTooSlow:
            return  # the condition is valid, at least

    async def answers(
        self, statement: str, *, deleted: bool = False
    ) -> AsyncIterator[tuple[int, list[Mapping[str, Any]]]]:
        """A query's answers one by one: the total that it announces, and the rows of this answer, perhaps none. The
        caller may keep the rows or clear them."""
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
            # an empty answer may point to itself: it has not moved on
            if (filled and link in visited) or empty > _EMPTY_ANSWERS:
                raise Fatal("Salesforce's pages lead in a circle; the scan has stopped, and nothing is lost")
            visited.add(link)
            total, rows, link = await self._session.get_json(link, doing="read the next page", read=_read)

    async def _page(self, rows: list[Mapping[str, Any]], *, deleted: bool) -> Page:
        records: list[Record] = []
        for start in range(0, len(rows), SHARE):
            if start:
                await yield_to_others()
            records += [self._rows.record(row) for row in rows[start : start + SHARE]]
        return Page(records, last_id=records[-1].id, deleted=deleted)


def conditions_of(scope: Scope, records: RecordSettings) -> list[str]:
    """The WHERE of a scope, without its cursor. Raises Usage for an account that is no id."""
    return [
        soql.bracketed(records.where),
        _of_account(records.account_field, _checked_id(scope.account_id)) if scope.account_id else "",
        soql.since(MODIFIED, scope.since) if scope.since else "",
        "IsDeleted = TRUE" if scope.deleted else "",
    ]


def _of_account(field: str, account_id: str) -> str:
    """A reference takes both forms of an Id; a formula holds text, mostly of 15 characters. Text is compared without
    case, so this may also bring records of other accounts, which the planner leaves out."""
    return soql.within(field, [account_id, account_id[:15]])


def _between(after: str | None, until: str | None) -> list[str]:
    """Conditions: behind the one Id, up to and including the other."""
    return [
        soql.compare("Id", operator, _checked_id(bound)) for operator, bound in ((">", after), ("<=", until)) if bound
    ]


class _SeenIds:
    """Refuses an Id that a scan has met before, since such a scan might never end; and one beyond its end.

    Keeps the Ids of the last two queries, and the last Id of every answer: the next query depends on that alone, so an
    endless scan must repeat one of them.
    """

    def __init__(self, start: str | None, end: str | None = None) -> None:
        self._stops = {start} if start else set()
        self._end = end
        self._before: set[str] = set()
        self._now: set[str] = set()

    def add(self, page: Page) -> None:
        ids = {record.id for record in page.records}
        if len(ids) != len(page.records) or ids & self._now or ids & self._before or ids & self._stops:
            raise Fatal("Salesforce sent a record twice in one scan; stopped, since that could go on for ever")
        if self._end in ids and page.last_id != self._end:
            raise Fatal("Salesforce sent records beyond the end of the range that was asked for")
        self._now |= ids
        self._stops.add(page.last_id)

    def next_query(self) -> None:
        if self._now:
            self._before, self._now = self._now, set()


class _PageSize:
    """How many rows a query asks for, and how often in a row it may bring none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._timeouts = 0
        self._stalls = 0

    def halve(self, error: QueryTooSlow) -> None:
        """After a second timeout in a row, ask for half as many. Raises the error where that would be too few."""
        self._timeouts += 1
        if self._timeouts > 1:
            if self.limit <= SMALLEST_PAGE:
                raise error
            self.limit = max(SMALLEST_PAGE, self.limit // 2)
            self._stalls = 0

    def brought_none(self) -> None:
        self._stalls += 1
        if self._stalls > _STALLS:
            raise Paused(
                "Salesforce announces more records but does not send them",
                hint="Start the same command again; it resumes behind the last record.",
            )

    def brought_rows(self) -> None:
        self._timeouts = self._stalls = 0


def _read(answer: Any) -> tuple[int, list[Mapping[str, Any]], str | None]:
    """Total, rows and link to the next page of a query answer. Raises Transient for any other answer."""
    if isinstance(answer, dict):
        rows, link = answer.get("records"), answer.get("nextRecordsUrl")
        total = answer.get("totalSize")
        rows = [] if rows is None else rows
        if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
            if link is not None and not isinstance(link, str):
                link = None
            if not link and answer.get("done") is not True:
                raise Transient(
                    FailureClass.NETWORK, "a Salesforce answer does not say whether there are more rows, or where"
                )
            return total if isinstance(total, int) else 0, rows, link or None
    raise Transient(FailureClass.NETWORK, "Salesforce's answer to a query has an unknown format")


def _checked_id(text: str) -> str:
    try:
        return to18(text)
    except ValueError as error:
        raise Usage(str(error)) from None
