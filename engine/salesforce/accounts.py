"""How many records each account holds, counted by Salesforce.

Grouped queries cannot be paged by Salesforce (2,000 groups at most), so they are paged by key, like records.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.model.errors import Fatal
from engine.model.record import Scope
from engine.salesforce import soql
from engine.salesforce.faults import QueryTooSlow
from engine.salesforce.pages import LARGEST_PAGE, SMALLEST_PAGE, SalesforcePages, conditions_of
from engine.salesforce.rows import canonical, moment, text
from engine.settings import SalesforceSettings


@dataclass(frozen=True, slots=True)
class AccountFiles:
    """One account: ``files`` counts its records, with a link or without. Empty ``id``: records without an account."""

    id: str
    name: str
    files: int
    last_modified: str = ""
    """Youngest SystemModstamp among them, UTC ISO; empty when unknown."""


async def accounts(
    pages: SalesforcePages, settings: SalesforceSettings, *, only: str | None = None, page_size: int = LARGEST_PAGE
) -> AsyncIterator[AccountFiles]:
    """All accounts that hold records, in the server's order; the records of none come last. ``only``: of this one."""
    account, title = settings.account_field, settings.account_name_field
    fields = [soql.name(account), soql.name(title), "COUNT(Id) files", "MAX(SystemModstamp) newest"]
    keys = account.lower(), title.rpartition(".")[2].lower()
    cursor, seen, limit = "", set[str](), page_size
    while True:
        statement = soql.select(
            fields,
            settings.object,
            conditions=[
                *conditions_of(Scope(account_id=only), settings),
                soql.compare(account, ">", cursor) if cursor else f"{soql.name(account)} != null",
            ],
            group=[account, title],
            order=[account],
            limit=limit,
        )
        try:
            groups = [_group(row, *keys) async for _, rows in pages.answers(statement) for row in rows]
        except QueryTooSlow:
            if limit <= SMALLEST_PAGE:
                raise
            limit = max(SMALLEST_PAGE, limit // 2)
            continue
        for group in groups:
            if group.id in seen:
                raise Fatal("Salesforce listed an account twice; stopped instead of going round in circles")
            seen.add(group.id)
            cursor = group.id
            yield group
        if len(groups) < limit:
            break
    if only is None and (orphans := await _without_account(pages, settings)):
        yield orphans


async def _without_account(pages: SalesforcePages, settings: SalesforceSettings) -> AccountFiles | None:
    conditions = [*conditions_of(Scope(), settings), soql.is_null(settings.account_field)]
    statement = soql.select(["COUNT()"], settings.object, conditions=conditions)
    async for total, _ in pages.answers(statement):
        return AccountFiles("", "", total) if total else None
    return None


def _group(row: Mapping[str, Any], account: str, title: str) -> AccountFiles:
    """One grouped row. A grouped parent field goes by its last name alone: ``Account__r.Name`` comes as ``Name``."""
    flat = {key.lower(): value for key, value in row.items()}
    found = canonical(text(flat.get(account)))
    files = flat.get("files")
    if not found or not isinstance(files, int | float):
        raise Fatal("Salesforce answered the list of accounts with something else")
    return AccountFiles(found, text(flat.get(title)), int(files), moment(text(flat.get("newest"))))
