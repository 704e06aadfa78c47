"""The parts of ``engine status`` as tables for a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from engine.limiting.clock import TIME, for_people
from engine.model.command import Advice, Command
from engine.model.outcome import COPIED_STATES
from engine.model.text import printable
from engine.runs.shared.command import to_type
from engine.runs.shared.report import by_reason, duration, proved_by, size
from engine.runs.shared.tables import line, table
from engine.runs.status.document import honest
from engine.runs.status.progress import of_scope, run_line, scope_line, share, workers_line
from engine.runs.status.slow import line as slow_line
from engine.runs.status.steps import after_errors, after_overview, after_readiness
from engine.tracking.read.links import Foreign
from engine.tracking.read.report import Report

if TYPE_CHECKING:
    from rich.console import Console

ACCOUNTS_SHOWN = 50
SHORT = "%m-%d %H:%M:%S %Z"
WORTH_TELLING_S = 5.0
"""Shorter runs are only a start and an end: nothing in them is slow."""
_RUN_COUNTS = ("total_files_processed", "successful_files", "new_files", "skipped_files", "failed_files")


def _upgraded(upgrade: dict[str, Any]) -> str:
    """What an upgrade made of proofs that an older version recorded."""
    found = (
        (upgrade["to_prove_anew"], "copies whose MD5 differs from the source's must be proved again"),
        (upgrade["now_received"], "checksums of our own alone are called received now"),
    )
    return "; ".join(f"{count:,} {words}" for count, words in found if count)


def show_overview(report: Report, console: Console) -> None:
    files, proofs, api, scope = report.files(), report.proofs(), report.api(), report.scope()
    rows = [(name, f"{files[name]:,}", of_scope(files[name], scope)) for name in files if name != "bytes"]
    heads = ("state", "records", "of all in scope")
    table(console, "Records", heads, [row for row in rows if row[1] != "0"], right=(1, 2))
    line(console, f"scope       {scope_line(scope)}")
    line(console, f"copies      {size(files['bytes'])}, {proved_by(proofs)}")
    if (upgrade := report.upgrade()) is not None:
        line(console, f"upgrade     {_upgraded(upgrade)}")
    line(console, f"accounts    {report.account_count():,}")
    if api is not None:
        line(console, f"API calls   {api['used']:,} of {api['max']:,} used in 24 h (as of {for_people(api['at'])})")
    last = report.runs(1)
    if last:
        run = honest(last[0])
        line(
            console,
            f"last run    {run['id']}: {run['run_type']}, {run['status']}, started {for_people(run['start_time'])}",
        )
        if run["status"] == "running" and (progress := report.progress()) is not None:
            line(console, f"now         {run_line(progress)}")
        if told := workers_line(report.trend(1)):
            line(console, f"workers     {told}")
        if (shares := report.shares()) is not None and shares["seconds"] >= WORTH_TELLING_S:
            line(console, f"slow was    {slow_line(shares)}" + f" (run {shares['run']})")
    if unproved := report.unproved():
        line(console, f"BROKEN      {unproved:,} switched links lead to no copy, or to another file: users see that")
    _next(console, after_overview(report))


def show_runs(report: Report, console: Console) -> None:
    rows = [
        (
            str(run["id"]),
            run["run_type"],
            run["status"].replace("_", " "),
            for_people(run["start_time"], SHORT),
            _took(run),
            *(f"{run[name]:,}" for name in _RUN_COUNTS),
        )
        for run in map(honest, report.runs(15))
    ]
    heads = ("run", "type", "status", "started", "took", "seen", "ok", "new", "skipped", "failed")
    table(console, "Runs", heads, rows, right=(0, 4, 5, 6, 7, 8, 9), wraps=2)
    _trend(report, console)
    _workers(report, console)


def _trend(report: Report, console: Console) -> None:
    rows = [
        (
            for_people(sample["at"], TIME),
            f"{sample['files_per_s']:,.0f}",
            f"{sample['mb_per_s']:,.1f}",
            f"{sample['in_flight']:,} of {sample['limit']:,}",
            f"{sample['leases']:,} / {sample['unwritten']:,}",
            f"{sample['refusals']:,}",
            f"{sample['retries']:,}",
            f"{100 * sample['cpu']:.0f} %",
            f"{sample['lag_ms']:,.0f} ms",
            f"{sample['rss_mb']:,.0f} MB",
        )
        for sample in report.trend()
    ]
    if rows:
        heads = (
            "at", "files/s", "MB/s", "in flight", "batches / unwritten", "refused", "retries", "CPU", "late", "memory",
        )  # fmt: skip
        table(console, "The latest samples of the last run", heads, rows, right=range(1, 10))


def _workers(report: Report, console: Console) -> None:
    """Where the last run had any."""
    last = report.trend(1)
    rows = [
        (worker["name"], f"{worker['files_per_s']:,.0f}", f"{worker['in_hand']:,}", f"{worker['silent_s']:,.0f} s")
        for sample in last
        for worker in sample.get("workers", ())
    ]
    if rows:
        heads = ("worker", "files/s", "in hand", "last sign of life before")
        title = f"Workers of the last run, at {for_people(last[0]['at'], TIME)}"
        table(console, title, heads, rows, right=(1, 2, 3))


def _took(run: dict[str, Any]) -> str:
    if not run["end_time"]:
        return ""
    start, end = (datetime.fromisoformat(run[name]) for name in ("start_time", "end_time"))
    return duration((end - start).total_seconds())


def show_accounts(report: Report, console: Console) -> None:
    rows = [
        (
            account["account_id"] or "(none)",
            printable(account["account_name"]),
            f"{account['files']:,}",
            f"{sum(account[state] for state in COPIED_STATES):,}",
            f"{account['skipped']:,}",
            f"{account['failed']:,}",
        )
        for account in report.accounts(ACCOUNTS_SHOWN)
    ]
    total = report.account_count()
    title = "Accounts"
    if total > len(rows):
        title += f" (the {ACCOUNTS_SHOWN} with most failures of {total:,}; all: --json or --export)"
    table(console, title, ("account", "name", "files", "copied", "skipped", "failed"), rows, (2, 3, 4, 5), 1)


def show_errors(report: Report, console: Console) -> None:
    rows = [
        (
            error["failure_class"],
            f"{error['count']:,}",
            for_people(error["latest"]) if error["latest"] else "",
            error["example"]["record_id"] or "",
            printable(error["example"]["message"] or ""),
        )
        for error in report.errors()
    ]
    table(console, "Failures by class", ("class", "records", "latest", "for example", "message"), rows, (1,))
    if unproved := report.unproved():
        line(console, f"BROKEN      {unproved:,} switched links lead to no copy, or to another file")
    skipped = report.skipped()
    if skipped:
        line(console, f"skipped: {by_reason(skipped)}")
    _next(console, after_errors(report))


def show_recent(report: Report, count: int, console: Console) -> None:
    rows = [
        (for_people(e["timestamp"]), e["failure_class"], e["doclist_entry_id"], printable(e["error_message"] or ""))
        for e in report.recent_errors(count)
    ]
    table(console, f"The last {len(rows)} errors", ("when", "class", "record", "what"), rows)


def show_readiness(report: Report, proofs: Sequence[str], strange: Foreign, console: Console) -> None:
    """``strange``: links that a switch refuses."""
    found, accounts, scope = report.readiness(proofs), report.ready_accounts(proofs), report.scope()
    rows = [("ready", f"{found['ready']:,}", "", ""), ("switched already", f"{found['switched']:,}", "", "")]
    rows += [
        ("not ready", f"{count:,}", reason, report.example_of(reason)) for reason, count in found["reasons"].items()
    ]
    if found["waived"]:
        rows.append(("waived", f"{found['waived']:,}", f"not counted, by {to_type(Command('waive'))}", ""))
    title = f"Readiness (proofs accepted: {', '.join(proofs)})"
    table(console, title, ("", "records", "because", "such as"), rows, (1,))
    line(
        console,
        f"accounts    {accounts['whole']:,} can be switched as a whole, {accounts['partly']:,} in part, "
        f"{accounts['none']:,} not at all",
    )
    seen = scope["known"] - found["waived"]
    whole = max(0, (scope["records"] or scope["known"]) - found["waived"])
    line(
        console,
        f"of {whole:,} records in scope {share(found['ready'], whole) or 'none'} could be switched now, "
        f"{share(found['switched'], whole) or 'none'} are",
    )
    if not scope["complete"]:
        line(console, f"NOT ALL     {seen:,} records were seen so far; scope: {scope_line(scope)}")
    if strange.count:
        line(console, f"REFUSED     {strange}")
    _next(console, after_readiness(found["reasons"], strange))


def _next(console: Console, steps: Sequence[Advice]) -> None:
    for advice in steps:
        line(console, ("next        ", advice))
