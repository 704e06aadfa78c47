"""What each page shows, as values. Every page is one moment of the DB."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.limiting.clock import Clock
from engine.model.command import Command
from engine.model.errors import EngineError
from engine.model.failures import WORTH_ANOTHER_TRY
from engine.runs.shared.command import to_type
from engine.runs.status.document import honest
from engine.tracking.db.connect import one_moment
from engine.tracking.read import desk
from engine.tracking.read.desk import AccountCounts
from engine.tracking.read.journal import left_open
from engine.tracking.read.report import Report

SAMPLES = 5
PER_PAGE = 50
RENEWED_AFTER = timedelta(seconds=15)
_SORTS = ("files", "failed", "copied", "switched", "name")


@dataclass(frozen=True, slots=True)
class AccountsPage:
    """``found`` accounts fit the search; ``rows`` are those of this page."""

    rows: Sequence[AccountCounts]
    found: int
    page: int
    pages: int
    search: str
    sort: str
    as_of: datetime
    """When they were counted: that takes a second for 50,000, so it is done now and then."""


class Figures:
    """Answers from one tracking DB. Methods block: call them in a thread. Each raises Blocked, Fatal."""

    def __init__(self, database: Path, proofs: Sequence[str], clock: Clock) -> None:
        self._clock = clock
        self._database = database
        self._proofs = proofs
        self._accounts: list[AccountCounts] = []
        self._as_of = clock.now()
        self._counting = threading.Lock()

    def overview(self) -> dict[str, Any]:
        """The numbers of the first page, and of the metrics."""
        with one_moment(self._database) as db:
            more = {"in_doubt": left_open(db), "succeeded": desk.last_successes(db)}
            return _overview(Report(db), self._proofs) | more

    def moving(self) -> dict[str, Any]:
        """Those of them that move while a run works."""
        with one_moment(self._database) as db:
            return _moving(Report(db))

    def failures(self) -> list[dict[str, Any]]:
        """Failed records per class, most first, with samples and what to type next."""
        with one_moment(self._database) as db:
            found = Report(db).errors()
            return [
                {**each, "samples": desk.failed_samples(db, each["failure_class"], SAMPLES), "next": _next(each)}
                for each in found
            ]

    def runs(self) -> dict[str, Any]:
        """The latest runs, and the days."""
        with one_moment(self._database) as db:
            return {"runs": [honest(run) for run in Report(db).runs(100)], "days": desk.days(db)}

    def readiness(self) -> dict[str, Any]:
        """What could be switched, why the rest could not, and the waves so far."""
        with one_moment(self._database) as db:
            report = Report(db)
            ready = report.readiness(self._proofs)
            examples = {reason: report.example_of(reason) for reason in ready["reasons"]}
            return {"ready": ready, "scope": report.scope(), "examples": examples, "waves": desk.waves(db)}

    def story(self, record: str) -> dict[str, Any] | None:
        """All of one record; None: nothing is known of it."""
        with one_moment(self._database) as db:
            return desk.story(db, record)

    def accounts(self, search: str, sort: str, page: int) -> AccountsPage:
        """One page of the accounts that fit the search."""
        counted = self._counted()
        wanted = search.strip().casefold()
        found = [each for each in counted if wanted in each.name.casefold() or wanted in each.id.casefold()]
        sort = sort if sort in _SORTS else _SORTS[0]
        if sort == "name":
            found.sort(key=lambda each: (each.name.casefold(), each.id))
        else:
            found.sort(key=lambda each: (-getattr(each, sort), each.name.casefold(), each.id))
        pages = max(1, -(-len(found) // PER_PAGE))
        page = min(max(1, page), pages)
        rows = found[(page - 1) * PER_PAGE : page * PER_PAGE]
        return AccountsPage(rows, len(found), page, pages, search, sort, self._as_of)

    def warm(self) -> None:
        """Count the accounts before anybody asks."""
        threading.Thread(target=self._counted, daemon=True).start()

    def _counted(self) -> list[AccountCounts]:
        """Counted anew in the background once it is old; only who comes first waits."""
        if not self._accounts:
            with self._counting:
                if not self._accounts:
                    self._count()
        elif self._clock.now() - self._as_of > RENEWED_AFTER and self._counting.acquire(blocking=False):
            threading.Thread(target=self._recount, daemon=True).start()
        return self._accounts

    def _recount(self) -> None:
        try:
            self._count()
        except EngineError:
            pass  # what was counted before stands, with its time
        finally:
            self._counting.release()

    def _count(self) -> None:
        begun = self._clock.now()
        with one_moment(self._database) as db:
            self._accounts = desk.accounts(db)
        self._as_of = begun


def _moving(report: Report) -> dict[str, Any]:
    runs = [honest(run) for run in report.runs(1)]
    return {
        "files": report.files(),
        "scope": report.scope(),
        "progress": report.progress(),
        "last_run": runs[0] if runs else None,
        "running": bool(runs) and runs[0]["status"] == "running",
    }


def _overview(report: Report, proofs: Sequence[str]) -> dict[str, Any]:
    return {
        **_moving(report),
        "proofs": report.proofs(),
        "accounts": report.account_count(),
        "errors": [{"failure_class": e["failure_class"], "count": e["count"]} for e in report.errors()],
        "readiness": report.readiness(proofs),
        "api": report.api(),
        "shares": report.shares(),
        "unproved": report.unproved(),
        "trend": report.trend(60),
    }


def _next(error: dict[str, Any]) -> dict[str, str]:
    """What to type for a class of failures, and why."""
    failure = error["failure_class"]
    if failure in {each.value for each in WORTH_ANOTHER_TRY}:
        return {"command": to_type(Command("run backup --incremental")), "why": "tries these again"}
    again = Command(f"run backup --incremental --retry-class {failure}")
    return {"command": to_type(again), "why": "tries these again, once their cause is mended"}
