"""A condition of a table, made wider where it stands."""

from __future__ import annotations


def widened(table: str, check: str, wider: str) -> tuple[str, ...]:
    """The statements. ``check`` is the text of the condition that becomes ``wider``.

    What only widens a CHECK leaves the file as it is (sqlite.org/lang_altertable.html, the simpler procedure). A
    million rows copied into a new table would take minutes, and twice the disk.
    """
    quoted, wide = (text.replace("'", "''") for text in (check, wider))
    return (
        "PRAGMA writable_schema = ON",
        f"UPDATE sqlite_master SET sql = replace(sql, '{quoted}', '{wide}') WHERE name = '{table}'",
        "PRAGMA writable_schema = RESET",
    )
