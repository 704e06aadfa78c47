"""Read-only questions for ``engine status``. No event loop: the command must answer at once, even on a million rows.

All answers of one report come from one snapshot of the DB, so that they agree with each other while a run goes on.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.model.facts import Proof
from engine.model.keys import LinkTemplate
from engine.model.outcome import COPIED_STATES, SWITCHABLE_STATES, Status
from engine.tracking.db.conditions import COPIED, SWITCHABLE, UNPROVED, WAIVED
from engine.tracking.db.connect import by_name, one_moment
from engine.tracking.read import progress
from engine.tracking.read.links import Foreign, foreign

_UNPROVED = f"SELECT count(*) FROM file_migrations WHERE {UNPROVED}"

# one step down the index per account, where count(DISTINCT) would walk all of it; min() takes a fifth longer to step
_ACCOUNTS = """
WITH RECURSIVE account (id) AS (
    SELECT min(account_id) FROM file_migrations WHERE account_id > ''
    UNION ALL
    SELECT (SELECT account_id FROM file_migrations WHERE account_id > account.id ORDER BY account_id LIMIT 1)
    FROM account WHERE account.id IS NOT NULL
) SELECT count(id) FROM account
"""

_BREAKDOWN = f"""
SELECT account_id, (SELECT account_name FROM file_migrations f WHERE f.account_id = page.account_id LIMIT 1)
    AS account_name, files AS record_count, files, {", ".join(Status)}
FROM (
    SELECT account_id, count(*) AS files, {", ".join(f"sum(status = '{s}') AS {s}" for s in Status)}
    FROM file_migrations GROUP BY account_id ORDER BY failed DESC, files DESC, account_id LIMIT ? OFFSET ?
) AS page
"""

_WAIVED_STATES = f"""
SELECT status, coalesce(failure_class, ''), coalesce(proof, ''), count(*) FROM file_migrations
WHERE doclist_entry_id IN ({WAIVED}) GROUP BY 1, 2, 3
"""

_CAN = f"(status = 'switched' OR ({SWITCHABLE} AND proof IN (SELECT value FROM json_each(?1))))"

_READY_ACCOUNTS = f"""
SELECT sum(able = records), sum(able > 0 AND able < records), sum(able = 0) FROM (
    SELECT count(*) AS records, sum({_CAN}) AS able FROM file_migrations
    WHERE doclist_entry_id NOT IN ({WAIVED}) GROUP BY account_id)
"""

_UNREADY = f"""
SELECT f.doclist_entry_id, account_id, status,
    CASE WHEN w.id IS NOT NULL THEN 'waived' WHEN {SWITCHABLE} THEN 'proof_' || proof
        ELSE coalesce(failure_class, status) END,
    coalesce(w.reason, error_message, '')
FROM file_migrations f LEFT JOIN waivers w ON w.id = (
    SELECT max(id) FROM waivers x WHERE x.doclist_entry_id = f.doclist_entry_id) AND w.event = 'waived'
WHERE NOT {_CAN} OR w.id IS NOT NULL ORDER BY account_id, f.id
"""

_EXAMPLE = f"""
SELECT doclist_entry_id FROM file_migrations WHERE ((status <> 'switched' AND failure_class = ?1)
    OR (failure_class IS NULL AND status = ?2) OR ({SWITCHABLE} AND proof = ?3))
    AND doclist_entry_id NOT IN ({WAIVED}) LIMIT 1
"""

_RECENT = """
SELECT timestamp, failure_class, doclist_entry_id AS record_id, doclist_entry_id, error_message, attempt, run_id,
    original_url FROM migration_errors
"""


class Report:
    """Answers as plain JSON values. ``open_report`` makes one. Every method may raise Fatal."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def document(self, accept_proof: Sequence[str], *, runs: int = 10) -> dict[str, Any]:
        """What ``engine status --json`` prints."""
        accounts, skipped = self.account_count(), self.skipped()
        return {
            "files": self.files(),
            "scope": self.scope(),
            "progress": self.progress(),
            "account_count": accounts,
            "accounts": accounts,
            "proofs": self.proofs(),
            "upgrade": self.upgrade(),
            "runs": self.runs(runs),
            "errors": self.errors(),
            "skipped_by_class": skipped,
            "skipped": skipped,
            "readiness": self.readiness(accept_proof),
            "api": self.api(),
            "shares": self.shares(),
            "trend": self.trend(),
        }

    def files(self) -> dict[str, int]:
        """Records per status; they add up to ``tracked``. ``bytes``: size of all copies that stand."""
        counts = {status.value: 0 for status in Status}
        copied = 0
        for status, files, size in self._db.execute("SELECT status, sum(files), sum(bytes) FROM counters GROUP BY 1"):
            counts[status] = files
            copied += size if status in COPIED_STATES else 0
        return {"tracked": sum(counts.values()), **counts, "bytes": copied}

    def scope(self) -> dict[str, Any]:
        """``read.progress.scope``."""
        files = self.files()
        return progress.scope(self._db, files["tracked"] - files[Status.GONE])

    def progress(self) -> dict[str, Any] | None:
        """``read.progress.progress``."""
        return progress.progress(self._db)

    def longest_link(self) -> int:
        """Characters of the longest new link of any copy."""
        return int(self._db.execute("SELECT coalesce(max(length(your_s3_url)), 0) FROM file_migrations").fetchone()[0])

    def foreign_links(self, template: LinkTemplate) -> Foreign:
        """Records whose row brings a link of its own. Walks the whole table."""
        return foreign(self._db, template)

    def keys(self, count: int, account: str | None = None) -> list[str]:
        """Keys of up to so many copies, spread over the table; of one account only, where it is given."""
        last = self._db.execute("SELECT coalesce(max(id), 0) FROM file_migrations").fetchone()[0]
        sql = (
            f"SELECT your_s3_key FROM file_migrations WHERE id >= ?1 AND {COPIED}"
            " AND (?2 IS NULL OR account_id = ?2) ORDER BY id LIMIT 1"
        )
        found = [self._db.execute(sql, (1 + last * n // count, account)).fetchone() for n in range(count)]
        return list(dict.fromkeys(row[0] for row in found if row is not None))

    def account_count(self) -> int:
        """How many accounts have records here."""
        return int(self._db.execute(_ACCOUNTS).fetchone()[0])

    def accounts(self, limit: int = -1, offset: int = 0) -> list[dict[str, Any]]:
        """Records per status of each account, most failures first; -1: all."""
        return self._rows(_BREAKDOWN, limit, offset)

    def proofs(self) -> dict[str, int]:
        """What the standing copies rest on."""
        return {proof.value: self._sum(f"proof = ? AND {COPIED}", proof.value) for proof in Proof}

    def runs(self, last: int = -1) -> list[dict[str, Any]]:
        """The latest runs, newest first; -1: all."""
        rows = self._rows("SELECT * FROM migration_runs ORDER BY id DESC LIMIT ?", last)
        return [{"run_id": row["id"], **row, "config_snapshot": json.loads(row["config_snapshot"])} for row in rows]

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

    def readiness(self, accept_proof: Sequence[str]) -> dict[str, Any]:
        """Which records a switch may take now, which not, and why not.

        Waived records are out of the sum, whatever their state. Percentages are of the rest, ``in_scope``, and of those
        that a scan under way has counted but not met, ``not_seen``.
        """
        sums: Counter[tuple[str, str, str]] = Counter()
        tracked = waived = 0
        for status, failure, proof, files in self._db.execute(
            "SELECT status, failure_class, proof, files FROM counters WHERE files > 0"
        ):
            sums[status, failure, proof] += files
            tracked += files
        for status, failure, proof, files in self._db.execute(_WAIVED_STATES):
            sums[status, failure, proof] -= files
            waived += files
        ready = switched = 0
        waiting: Counter[str] = Counter()
        for (status, failure, proof), files in sums.items():
            if status in SWITCHABLE_STATES and proof in accept_proof:
                ready += files
            elif status == "switched":
                switched += files
            else:
                waiting[f"proof_{proof}" if status in SWITCHABLE_STATES else failure or status] += files
        in_scope, scope = tracked - waived, self.scope()
        not_seen = max(0, (scope["records"] or 0) - scope["known"])
        whole = in_scope + not_seen
        return {
            "accept_proof": list(accept_proof),
            "tracked": tracked,
            "waived": waived,
            "in_scope": in_scope,
            "ready": ready,
            "switched": switched,
            "not_ready": in_scope - ready - switched,
            "reasons": {reason: count for reason, count in waiting.most_common() if count},
            "not_seen": not_seen,
            "scan_complete": scope["complete"],
            "percent_ready": _percent(ready, whole),
            "percent_switched": _percent(switched, whole),
            "percent_settled": _percent(ready + switched, whole),
        }

    def unproved(self) -> int:
        """Switched links behind which the last look did not find the copy as recorded. Cheap: they have an index."""
        return int(self._db.execute(_UNPROVED).fetchone()[0])

    def upgrade(self) -> dict[str, Any] | None:
        """What a newer engine found in the claims of an older one when it brought the DB up to date; None: nothing, or
        more than the run that did so has begun since."""
        rows = self._rows(
            "SELECT version, at, to_prove_anew, now_received FROM upgrades WHERE to_prove_anew + now_received > 0"
            " AND (SELECT count(*) FROM migration_runs WHERE start_time >= at) <= 1 ORDER BY version DESC LIMIT 1"
        )
        return rows[0] if rows else None

    def ready_accounts(self, accept_proof: Sequence[str]) -> dict[str, int]:
        """Accounts of which all records can be switched or are, some, or none. Walks the whole table."""
        row = self._db.execute(_READY_ACCOUNTS, (json.dumps(list(accept_proof)),)).fetchone()
        return {"whole": row[0] or 0, "partly": row[1] or 0, "none": row[2] or 0}

    def unready(self, accept_proof: Sequence[str]) -> Iterator[tuple[str, str, str, str, str]]:
        """Every record that cannot be switched: id, account, status, reason, and what was said of it or its waiver."""
        yield from self._db.execute(_UNREADY, (json.dumps(list(accept_proof)),))

    def example_of(self, reason: str) -> str:
        """A record that is not ready for this reason; empty where none is found."""
        status, failure, proof = reason, reason, reason.removeprefix("proof_")
        row = self._db.execute(_EXAMPLE, (failure, status, proof)).fetchone()
        return "" if row is None else str(row[0])

    def waivers(self, last: int = -1) -> list[dict[str, Any]]:
        """Waivers and their undoing, newest first; -1: all."""
        return self._rows(
            "SELECT doclist_entry_id AS record_id, doclist_entry_id, event, reason, who, at FROM waivers"
            " ORDER BY id DESC LIMIT ?",
            last,
        )

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
        return None if row is None else {"run_id": row[0], "run": row[0], **json.loads(row[1])}

    def trend(self, last: int = 10) -> list[dict[str, Any]]:
        """The latest samples of the latest run that has any, oldest first."""
        rows = self._db.execute(
            "SELECT at, json FROM samples WHERE json_extract(json, '$.kind') = 'sample'"
            " AND run_id = (SELECT max(run_id) FROM samples) ORDER BY id DESC LIMIT ?",
            (last,),
        ).fetchall()
        return [{"at": at, **json.loads(text)} for at, text in reversed(rows)]

    def _classes(self, status: str) -> list[tuple[str, int]]:
        return self._db.execute(
            "SELECT failure_class, sum(files) FROM counters WHERE status = ? GROUP BY 1 HAVING sum(files) > 0"
            " ORDER BY 2 DESC, 1",
            (status,),
        ).fetchall()

    def _sum(self, where: str, *parameters: object) -> int:
        statement = f"SELECT coalesce(sum(files), 0) FROM counters WHERE {where}"
        return int(self._db.execute(statement, parameters).fetchone()[0])

    def _rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        return by_name(self._db.execute(sql, parameters))


@contextmanager
def open_report(path: Path) -> Iterator[Report]:
    """Look at a tracking DB without touching it, also while a run writes. Raises Blocked when it cannot be read."""
    with one_moment(path) as db:
        yield Report(db)


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0
