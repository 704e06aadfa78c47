"""How many records each account holds, counted by Salesforce.

Salesforce does not page grouped queries (2,000 groups at most), so they are paged by key here, like records.
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


@dataclass(frozen=True, slots=True)
class AccountFiles:
    """One account. ``files`` counts its records, with a link or without. The records of no account have an empty id."""

    id: str
    name: str
    files: int
    last_modified: str = ""
    """The latest SystemModstamp among them, UTC ISO; empty when unknown."""


async def accounts(
    pages: SalesforcePages, *, only: str | None = None, page_size: int = LARGEST_PAGE
) -> AsyncIterator[AccountFiles]:
    """All accounts that have records, in the server's order; records without one come last. ``only``: this account."""
    records = pages.records
    account, title = records.account_field, records.account_name_field
    fields = [soql.name(account), soql.name(title), "COUNT(Id) files", "MAX(SystemModstamp) newest"]
    keys = account.lower(), title.rpartition(".")[2].lower()
    cursor, seen, limit = "", set[str](), page_size
    while True:
        statement = soql.select(
            fields,
            records.object,
            conditions=[
                *conditions_of(Scope(account_id=only), records),
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
                raise Fatal("Salesforce listed an account twice; stopped, since that could go on for ever")
            seen.add(group.id)
            cursor = group.id
            yield group
        if len(groups) < limit:
            break
    if only is None and (orphans := await _without_account(pages)):
        yield orphans


async def _without_account(pages: SalesforcePages) -> AccountFiles | None:
    conditions = [*conditions_of(Scope(), pages.records), soql.is_null(pages.records.account_field)]
    statement = soql.select(["COUNT()"], pages.records.object, conditions=conditions)
    async for total, _ in pages.answers(statement):
        return AccountFiles("", "", total) if total else None
    return None


def _group(row: Mapping[str, Any], account: str, title: str) -> AccountFiles:
    """One grouped row. A grouped parent field comes under its last name alone: ``Account__r.Name`` as ``Name``."""
    flat = {key.lower(): value for key, value in row.items()}
    found = canonical(text(flat.get(account)))
    files = flat.get("files")
    if not found or not isinstance(files, int | float):
        raise Fatal("Salesforce's list of accounts has an unknown format")
    return AccountFiles(found, text(flat.get(title)), int(files), moment(text(flat.get("newest"))))
