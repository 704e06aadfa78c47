"""Read-only questions for ``engine status``. No event loop: the command must answer at once, even on a million rows.

All answers of one report come from one snapshot of the DB, so that they agree with each other while a run goes on.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.tracking.connect import open_reader, refuse_foreign, refuse_outdated
from engine.tracking.faults import translated
from engine.tracking.files import inspect, unwritable

STATUSES = ("pending", "backed_up", "failed", "skipped", "switched", "rolled_back", "gone")
COPIED = ("backed_up", "switched", "rolled_back")

# one step down the index per account, where count(DISTINCT) would walk all of it
_ACCOUNTS = """
WITH RECURSIVE account (id) AS (
    SELECT min(account_id) FROM file_migrations WHERE account_id > ''
    UNION ALL
    SELECT (SELECT min(account_id) FROM file_migrations WHERE account_id > account.id)
    FROM account WHERE account.id IS NOT NULL
) SELECT count(id) FROM account
"""

_BREAKDOWN = f"""
SELECT account_id, (SELECT account_name FROM file_migrations f WHERE f.account_id = page.account_id LIMIT 1)
    AS account_name, files, {", ".join(STATUSES)}
FROM (
    SELECT account_id, count(*) AS files, {", ".join(f"sum(status = '{s}') AS {s}" for s in STATUSES)}
    FROM file_migrations GROUP BY account_id ORDER BY failed DESC, files DESC, account_id LIMIT ? OFFSET ?
) AS page
"""  # noqa: S608 - constants

_RECENT = """
SELECT timestamp, failure_class, doclist_entry_id, error_message, attempt, run_id, original_url
FROM migration_errors
"""


class Report:
    """Answers as plain JSON values. ``open_report`` makes one. Every method may raise Fatal."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def document(self, *, runs: int = 10, accept_proof: Sequence[str] = ("checksum", "etag")) -> dict[str, Any]:
        """What ``engine status --json`` prints."""
        return {
            "files": self.files(),
            "accounts": self.account_count(),
            "proofs": self.proofs(),
            "runs": self.runs(runs),
            "errors": self.errors(),
            "skipped": self.skipped(),
            "readiness": self.readiness(accept_proof),
            "api": self.api(),
            "shares": self.shares(),
            "trend": self.trend(),
        }

    def files(self) -> dict[str, int]:
        """Records per status; they add up to ``tracked``. ``bytes``: size of all copies that stand."""
        counts = dict.fromkeys(STATUSES, 0)
        copied = 0
        for status, files, size in self._db.execute("SELECT status, sum(files), sum(bytes) FROM counters GROUP BY 1"):
            counts[status] = files
            copied += size if status in COPIED else 0
        return {"tracked": sum(counts.values()), **counts, "bytes": copied}

    def account_count(self) -> int:
        """How many accounts have records here."""
        return int(self._db.execute(_ACCOUNTS).fetchone()[0])

    def accounts(self, limit: int = -1, offset: int = 0) -> list[dict[str, Any]]:
        """Records per status of each account, most failures first; -1: all."""
        return self._rows(_BREAKDOWN, limit, offset)

    def proofs(self) -> dict[str, int]:
        """What the standing copies rest on."""
        return {
            proof: self._sum("proof = ? AND status IN ('backed_up', 'switched', 'rolled_back')", proof)
            for proof in ("checksum", "etag", "size")
        }

    def runs(self, last: int = -1) -> list[dict[str, Any]]:
        """The latest runs, newest first; -1: all."""
        rows = self._rows("SELECT * FROM migration_runs ORDER BY id DESC LIMIT ?", last)
        return [{**row, "config_snapshot": json.loads(row["config_snapshot"])} for row in rows]

    def errors(self) -> list[dict[str, Any]]:
        """Failed records per class, most first, with the time and an example of the latest failure."""
        found = []
        for failure, count in self._classes("failed"):
            latest = self._rows(_RECENT + "WHERE failure_class = ? ORDER BY id DESC LIMIT 1", failure)
            example = latest[0] if latest else {}
            found.append(
                {
                    "failure_class": failure,
                    "count": count,
                    "latest": example.get("timestamp"),
                    "example": {
                        "record_id": example.get("doclist_entry_id"),
                        "message": example.get("error_message"),
                        "url": example.get("original_url"),
                    },
                }
            )
        return found

    def skipped(self) -> dict[str, int]:
        """Records left out, per class."""
        return dict(self._classes("skipped"))

    def recent_errors(self, count: int) -> list[dict[str, Any]]:
        """The latest failures and failed tries, newest first."""
        return self._rows(_RECENT + "ORDER BY id DESC LIMIT ?", count)

    def readiness(self, accept_proof: Sequence[str] = ("checksum", "etag")) -> dict[str, Any]:
        """Which records a switch may take now, which not, and why not. Percentages are of all tracked records."""
        tracked = ready = switched = 0
        waiting: dict[str, int] = {}
        for status, failure, proof, files in self._db.execute(
            "SELECT status, failure_class, proof, files FROM counters WHERE files > 0"
        ):
            tracked += files
            if status == "backed_up" and proof in accept_proof:
                ready += files
            elif status == "switched":
                switched += files
            else:
                reason = f"proof_{proof}" if status == "backed_up" else failure or status
                waiting[reason] = waiting.get(reason, 0) + files
        return {
            "accept_proof": list(accept_proof),
            "ready": ready,
            "switched": switched,
            "not_ready": tracked - ready - switched,
            "reasons": dict(sorted(waiting.items(), key=lambda reason: -reason[1])),
            "percent_ready": _percent(ready, tracked),
            "percent_switched": _percent(switched, tracked),
        }

    def api(self) -> dict[str, Any] | None:
        """Salesforce API calls as last noted by a run, or None."""
        row = self._db.execute(
            "SELECT at, json_extract(json, '$.api') FROM samples"
            " WHERE json_extract(json, '$.api') IS NOT NULL ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return None if row is None else {"at": row[0], **json.loads(row[1])}

    def shares(self) -> dict[str, Any] | None:
        """Where the time of the last run that told went, by stage, and ``run``, its id; or None."""
        row = self._db.execute(
            "SELECT run_id, json FROM samples WHERE json_extract(json, '$.kind') = 'shares' ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return None if row is None else {"run": row[0], **json.loads(row[1])}

    def trend(self, last: int = 10) -> list[dict[str, Any]]:
        """The latest samples of the latest run that has any, oldest first."""
        rows = self._db.execute(
            "SELECT at, json FROM samples WHERE json_extract(json, '$.kind') = 'sample'"
            " AND run_id = (SELECT max(run_id) FROM samples) ORDER BY id DESC LIMIT ?",
            (last,),
        ).fetchall()
        return [{"at": at, **json.loads(text)} for at, text in reversed(rows)]

    def export(self, path: Path, *, accept_proof: Sequence[str] = ("checksum", "etag")) -> None:
        """Write everything, all accounts and runs included, as one JSON file, mode 0600; replaces the file at once."""
        everything = {
            **self.document(runs=-1, accept_proof=accept_proof),
            "account_breakdown": self.accounts(),
            "recent_errors": self.recent_errors(1000),
        }
        partial = Path(f"{path}.partial")
        try:
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:  # noqa: PTH123
                json.dump(everything, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise unwritable(path, error) from error

    def _classes(self, status: str) -> list[tuple[str, int]]:
        return self._db.execute(
            "SELECT failure_class, sum(files) FROM counters WHERE status = ? GROUP BY 1 HAVING sum(files) > 0"
            " ORDER BY 2 DESC, 1",
            (status,),
        ).fetchall()

    def _sum(self, where: str, *parameters: object) -> int:
        statement = f"SELECT coalesce(sum(files), 0) FROM counters WHERE {where}"  # noqa: S608 - constants
        return int(self._db.execute(statement, parameters).fetchone()[0])

    def _rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        cursor = self._db.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


@contextmanager
def open_report(path: Path) -> Iterator[Report]:
    """Look at a tracking DB without touching it, also while a run writes. Raises Blocked when it cannot be read."""
    inspect(path)
    with translated(path, starting=True):
        db = open_reader(path)
        try:
            refuse_foreign(db, path)
            refuse_outdated(db, path)
            db.execute("BEGIN")
            yield Report(db)
        finally:
            db.close()


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0
