"""Searching the org for text: every object and field that the login can see, by LIKE where that works, else by reading.

SOQL compares text without case. Fields that can be filtered are filtered by the org (one call counts all rows). Long
text cannot be filtered, and some filters take the org too long: such rows are read and searched here, up to a limit.

A term is searched as it is, but ``//host`` also finds the host without its scheme, as in "see host/a.pdf".
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.salesforce import soql
from engine.salesforce.connection import Salesforce
from engine.salesforce.faults import Unaskable
from engine.salesforce.rows import MODIFIED
from engine.salesforce.session import LONGEST_URI

PAGE = 2000
_TEXT = frozenset({"url", "string", "textarea", "combobox", "anyType"})
_COPIES = ("History", "Feed", "Share", "ChangeEvent", "Tag")
"""Endings of objects that Salesforce derives from others: history, feeds, sharing and the like."""
_BEFORE_A_HOST = ("//", " ", "\n", "\t", "(", "<", ">", '"', ",", ";", "=")
"""Or the start of the text. Behind a letter, digit, hyphen or dot it is the end of another host's name."""
_ROOM = LONGEST_URI // 2
"""Characters of conditions in one query: encoding may nearly double their number."""


@dataclass(frozen=True, slots=True)
class Column:
    """A field that can hold text."""

    name: str
    filterable: bool


@dataclass(slots=True)
class Place:
    """An object, and where it may hold text."""

    name: str
    columns: list[Column] = field(default_factory=list)
    formulas: dict[str, str] = field(default_factory=dict)
    """Formulas and default values by field: text in the set-up, not in records."""


class Search:
    """Searches one org. Raises Fatal and Transient, as the session does."""

    def __init__(self, salesforce: Salesforce) -> None:
        self._salesforce = salesforce

    async def objects(self) -> tuple[list[str], dict[str, str]]:
        """Names of the objects to search, and of the others with the reason."""
        chosen, skipped = [], {}
        for item in await self._salesforce.session.get_list("sobjects", "sobjects", doing="list objects"):
            name = str(item.get("name"))
            if (why := _unfit(item, name)) is None:
                chosen.append(name)
            else:
                skipped[name] = why
        return chosen, skipped

    async def place(self, name: str) -> Place:
        """Where an object may hold text."""
        described = await self._salesforce.session.get_json(
            f"sobjects/{soql.name(name)}/describe", doing=f"describe {name}"
        )
        found = Place(name)
        for item in described.get("fields", []) if isinstance(described, dict) else []:
            label = str(item.get("name"))
            for key in ("calculatedFormula", "defaultValueFormula", "defaultValue"):
                if isinstance(text := item.get(key), str):
                    found.formulas[label] = text
            if item.get("type") in _TEXT and not item.get("calculated"):
                found.columns.append(Column(label, bool(item.get("filterable"))))
        return found

    async def askable(self, place: str) -> bool:
        """Whether Salesforce takes even the simplest query of an object."""
        statement = soql.select(["Id"], place, limit=1)
        try:
            async for _ in self._salesforce.pages.answers(statement):
                break
        except Unaskable:
            return False
        return True

    async def perhaps(self, place: str, columns: Sequence[str], terms: Sequence[str]) -> bool:
        """Whether any row may hold one of the terms in one of these filterable fields. It takes few calls, but also
        finds hosts whose name only ends like a host of the terms."""
        likes = [[_like(column, f"%{_quoted(term.removeprefix('//'))}") for term in terms] for column in columns]
        for batch in _batches(likes):
            if await self._count(place, batch):
                return True
        return False

    async def count(self, place: str, column: str, terms: Sequence[str]) -> int | None:
        """How many rows hold one of the terms in this filterable field; None where they do not fit into one query."""
        likes, *more = _batches(_exactly(column, terms))
        return None if more else await self._count(place, likes)

    async def rows(
        self,
        place: str,
        column: str,
        terms: Sequence[str],
        *,
        most: int,
        since: str | None = None,
    ) -> list[tuple[str, str]]:
        """(Id, value) of up to ``most`` rows that hold one of the terms in this filterable field."""
        found: dict[str, str] = {}
        for likes in _batches(_exactly(column, terms)):
            conditions = [_any_of(likes), soql.since(MODIFIED, since) if since else ""]
            statement = soql.select(["Id", column], place, conditions=conditions, order=["Id"], limit=most)
            async for _, rows in self._salesforce.pages.answers(statement):
                found |= {str(row.get("Id")): value(row, column) for row in rows}
        return sorted(found.items())[:most]

    async def _count(self, place: str, likes: Sequence[str]) -> int:
        statement = soql.select(["COUNT()"], place, conditions=[_any_of(likes)])
        async for total, _ in self._salesforce.pages.answers(statement):
            return total
        return 0

    async def scan(
        self, place: str, columns: Sequence[str], *, since: str | None = None
    ) -> AsyncIterator[list[Mapping[str, Any]]]:
        """All rows of an object with these fields, page by page in the order of their Ids."""
        last = ""
        while True:
            conditions = [soql.compare("Id", ">", last) if last else "", soql.since(MODIFIED, since) if since else ""]
            statement = soql.select(["Id", *columns], place, conditions=conditions, order=["Id"], limit=PAGE)
            count = 0
            async for _, rows in self._salesforce.pages.answers(statement):
                if rows:
                    count += len(rows)
                    last = str(rows[-1].get("Id"))
                    yield list(rows)
            if count < PAGE:
                return


def value(row: Mapping[str, Any], column: str) -> str:
    """The text of a field; Salesforce spells fields as its schema does."""
    wanted = column.lower()
    return next((text for name, text in row.items() if name.lower() == wanted and isinstance(text, str)), "")


def _unfit(item: Mapping[str, Any], name: str) -> str | None:
    if not item.get("queryable"):
        return "cannot be queried"
    if item.get("deprecatedAndHidden"):
        return "deprecated and hidden"
    if name.endswith(_COPIES) and (item.get("associateEntityType") or "__" in name or not item.get("keyPrefix")):
        return "derived from another object"
    return None


def finder(terms: Sequence[str]) -> re.Pattern[str]:
    """A pattern that finds in a text what the org finds by the same terms."""
    before = f"(?:^|{'|'.join(map(re.escape, _BEFORE_A_HOST))})"
    return re.compile(
        "|".join(before + re.escape(term[2:]) if term.startswith("//") else re.escape(term) for term in terms),
        re.IGNORECASE,
    )


def _exactly(column: str, terms: Sequence[str]) -> list[list[str]]:
    """Conditions for each of the terms."""
    found = []
    for term in terms:
        host = term.removeprefix("//")
        heads = ["", *(f"%{_quoted(mark)}" for mark in _BEFORE_A_HOST)] if host != term else ["%"]
        found.append([_like(column, head + _quoted(host)) for head in heads])
    return found


def _like(column: str, pattern: str) -> str:
    return f"{soql.name(column)} LIKE '{pattern}%'"


def _quoted(text: str) -> str:
    """The text with the wildcards of LIKE escaped."""
    return soql.text_literal(text)[1:-1].replace("%", "\\%").replace("_", "\\_")


def _any_of(likes: Sequence[str]) -> str:
    return soql.either([like] for like in likes)


def _batches(groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """The groups of conditions in batches, each of which fits into one query."""
    batches: list[list[str]] = [[]]
    size = 0
    for group in groups:
        cost = sum(len(like) + 8 for like in group)
        if batches[-1] and size + cost > _ROOM:
            batches.append([])
            size = 0
        batches[-1] += group
        size += cost
    return batches
