"""This machine: disk, files, open files."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

from engine.limiting import open_files
from engine.model.command import quoted
from engine.runs.doctor.checks.finding import Finding, block, ok, unknown, warn
from engine.runs.shared.report import size
from engine.settings import Settings
from engine.tracking.db.chain import key_path

ROW_BYTES = 2_400
"""Measured, rounded up: a record's row with its indexes, an inventory row, three journal rows, and the WAL beside."""


def disk(settings: Settings, records: int) -> Finding:
    """Whether the tracking DB of so many records will fit."""
    path = settings.tracking.database
    home = path.parent
    if not home.is_dir():
        return block("disk", f"the tracking DB's folder {home} does not exist", "create it, or set tracking.database")
    have = shutil.disk_usage(home).free
    held = path.stat().st_size if path.exists() else 0
    need = max(records * ROW_BYTES - held, 50_000_000)
    what = f"the tracking DB of {records:,} records may grow by {size(need)}; {size(have)} are free under {home}"
    if have < need:
        return block("disk", what, "free some space, or set tracking.database to another local disk")
    if have < 2 * need:
        return warn("disk", what, "free some space before the run: logs and snapshots need room too")
    return ok("disk", what)


def permissions(settings: Settings, settings_file: Path) -> list[Finding]:
    """Whether others could read what is private."""
    database = settings.tracking.database
    private = [settings_file, database, key_path(database, settings.switch.journal_key_file)]
    open_ones = [path for path in private if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    if not open_ones:
        return [ok("permissions", "settings, tracking DB and journal key can be read by their owner only")]
    return [
        warn(
            "permissions",
            f"{path} can be read by others (mode {stat.S_IMODE(path.stat().st_mode):04o})",
            f"chmod 600 {quoted(path)}",
        )
        for path in open_ones
    ]


def enough_open_files(settings: Settings) -> Finding:
    """Whether the limit of open files fits ``migration.concurrency``."""
    wanted, limit = settings.migration.concurrency, open_files.limit()
    need, room = open_files.needed(wanted), open_files.copies_within(limit, wanted)
    what = f"{need:,} files may be open at once with migration.concurrency {wanted}"
    if room == wanted:
        return ok("open_files", f"{what}; the limit is {'none' if limit is None else f'{limit:,}'}")
    return warn(
        "open_files",
        f"{what}, but the limit is {limit:,}: {room:,} copies will be in flight at once",
        f"raise the hard limit to {need:,} (ulimit -Hn, or LimitNOFILE= in the unit), or lower migration.concurrency",
    )


def clock_skew(check: str, who: str, seconds: float | None) -> Finding:
    """``seconds``: their clock minus ours; None: they did not say."""
    if seconds is None:
        return unknown(check, f"{who} does not state its time", "check this machine's clock: timedatectl")
    what = f"this machine's clock and that of {who} are {abs(seconds):.0f} s apart"
    fix = "set the clock: timedatectl set-ntp true"
    if abs(seconds) >= 300:
        return block(check, what + "; beyond a few minutes signatures and tokens are refused", fix)
    return warn(check, what, fix) if abs(seconds) >= 30 else ok(check, what)
