"""What begins with the letters that somebody has typed: for the shell's completion. Read-only, and cheap."""

from __future__ import annotations

import sqlite3

_ACCOUNTS = """
WITH RECURSIVE account (id) AS (
    SELECT min(account_id) FROM file_migrations WHERE account_id >= ?1 AND account_id > ''
    UNION ALL
    SELECT (SELECT min(account_id) FROM file_migrations WHERE account_id > account.id) FROM account
    WHERE account.id IS NOT NULL
) SELECT id, (SELECT account_name FROM file_migrations f WHERE f.account_id = account.id LIMIT 1) FROM account
WHERE id IS NOT NULL AND substr(id, 1, length(?1)) = ?1 LIMIT ?2
"""
_SWITCHES = """
SELECT id, start_time || ', ' || status FROM migration_runs
WHERE run_type = 'switch' AND substr(id, 1, length(?1)) = ?1 ORDER BY id DESC LIMIT ?2
"""


def accounts(db: sqlite3.Connection, begin: str, most: int) -> list[tuple[str, str]]:
    """Ids of accounts with their names. Jumps along an index from account to account."""
    return db.execute(_ACCOUNTS, (begin, most)).fetchall()


def switches(db: sqlite3.Connection, begin: str, most: int) -> list[tuple[str, str]]:
    """Ids of switch runs with their time and status, latest first."""
    return [(str(number), text) for number, text in db.execute(_SWITCHES, (begin, most))]
