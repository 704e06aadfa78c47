"""``engine accounts``: how many records each account has, counted by Salesforce."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.limiting.clock import SystemClock, for_people
from engine.model.command import Command
from engine.model.record import Scope
from engine.model.text import printable
from engine.runs.shared.assembly import open_org
from engine.runs.shared.bounds import bounds_of
from engine.runs.shared.preflight import check_org
from engine.runs.shared.tables import line, table
from engine.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console


NEXT = [
    (Command("analyze"), "   says what a backup would meet, and how long it takes"),
    (Command("run backup --full --account ID --dry-run"), "   shows what a backup of one account would do"),
]


async def list_accounts(settings: Settings, limit: int | None) -> dict[str, Any]:
    """Accounts with records, most first, and the sums over all of them. Raises Fatal."""
    only = bounds_of(settings.migration).account_id
    async with open_org(settings, SystemClock()) as salesforce:
        organization, _ = await check_org(salesforce, Scope(account_id=only))
        found = [account async for account in salesforce.accounts(only)]
    found.sort(key=lambda account: (-account.files, account.id))
    accounts, records = sum(bool(account.id) for account in found), sum(account.files for account in found)
    return {
        "org": {"org_id": organization.id, "id": organization.id, "name": organization.name},
        "account_count": accounts,
        "total_accounts": accounts,
        "record_count": records,
        "total_files": records,
        "accounts": [
            {
                "account_id": account.id or None,
                "account_name": account.name,
                "record_count": account.files,
                "files": account.files,
                "last_modified": account.last_modified or None,
            }
            for account in found[:limit]
        ],
    }


def show_accounts(found: dict[str, Any], console: Console) -> None:
    """The same as a table."""
    rows = [
        (
            account["account_id"] or "(none)",
            printable(account["account_name"]),
            f"{account['files']:,}",
            for_people(account["last_modified"]) if account["last_modified"] else "",
        )
        for account in found["accounts"]
    ]
    table(console, "", ("account", "name", "files", "last change"), rows, right=(2,), wraps=1)
    org = printable(found["org"]["name"])
    line(console, f"{found['total_files']:,} records in {found['total_accounts']:,} accounts of {org}")
