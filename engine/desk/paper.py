"""A page for a change board, or the certificate at the end, as one file that needs no other."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.desk import criteria, pages
from engine.desk.attached import Attached
from engine.limiting.clock import Clock
from engine.model.errors import Blocked, Differs, Usage
from engine.runs.journal.audit import AuditOptions, audit
from engine.runs.shared.exports import saving
from engine.runs.sweep.terms import terms_of
from engine.settings import Settings
from engine.tracking.db.connect import one_moment
from engine.tracking.read import desk
from engine.tracking.read.journal import left_open
from engine.tracking.read.report import Report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PRINTED_WITHIN_S = 120
WORST_ACCOUNTS = 25


@dataclass(frozen=True, slots=True)
class Paper:
    """What is wanted."""

    file: Path
    pdf: bool = False
    certificate: bool = False
    attached: Attached = field(default_factory=Attached)


async def write_paper(settings: Settings, wanted: Paper, clock: Clock) -> dict[str, Any]:
    """Write it; returns the verdict. Raises Blocked, Usage, Fatal."""
    if wanted.attached.sweep is not None and not wanted.certificate:
        raise Usage("--sweep goes with --certificate")
    browser = _browser() if wanted.pdf else ""
    facts = _facts(settings) | wanted.attached.read(settings)
    if wanted.certificate:
        facts["audit"] = await audit(settings, AuditOptions(limit=1), clock)
    found = (criteria.cancel if wanted.certificate else criteria.go)(facts)
    style = (files("engine.desk") / "static" / "style.css").read_text(encoding="utf-8")
    holds = all(each.holds for each in found)
    shown = pages.page(
        "report", at=clock.now(), style=style, certificate=wanted.certificate, criteria=found, holds=holds, facts=facts
    )
    with saving(wanted.file) as out:
        out.write(shown)
    written = [str(wanted.file)]
    if wanted.pdf:
        written.append(str(_print(browser, wanted.file)))
    return {
        "written_files": written,
        "files": written,
        "certificate": wanted.certificate,
        "holds": holds,
        "criteria": [each.as_json() for each in found],
        "exit_code": 0 if holds else Differs.exit_code,
    }


def _facts(settings: Settings) -> dict[str, Any]:
    """All of one moment."""
    proofs = settings.switch.accept_proof
    with one_moment(settings.tracking.database) as db:
        report = Report(db)
        worst = sorted(desk.accounts(db), key=lambda each: (-(each.files - each.copied), each.id))
        return {
            "files": report.files(),
            "rows": desk.rows(db),
            "scope": report.scope(),
            "proofs": report.proofs(),
            "accounts": report.account_count(),
            "errors": report.errors(),
            "trend": report.trend(1),
            "readiness": report.readiness(proofs),
            "unproved": report.unproved(),
            "waivers": report.waivers(200),
            "waves": desk.waves(db, 50),
            "in_doubt": left_open(db),
            "worst": [each for each in worst[:WORST_ACCOUNTS] if each.copied < each.files],
            **desk.milestones(db),
            "org_id": desk.org_of(db),
            "terms": terms_of(settings),
            "org": settings.salesforce.org_id or settings.salesforce.login_url,
            "object": f"{settings.salesforce.object}.{settings.salesforce.url_field}",
            "bucket": settings.destination.bucket,
            "database": str(settings.tracking.database),
        }


def _browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise Blocked("--pdf needs Chromium, and none is installed", hint="Install it, or print the HTML file.")
    return found


def _print(browser: str, page: Path) -> Path:
    """The page as a PDF beside it. Raises Blocked."""
    target = page.with_suffix(".pdf")
    with TemporaryDirectory(prefix="engine-print-") as profile:
        command = [
            browser,
            "--headless",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # its sandbox cannot be made by root
            "--disable-gpu",
            "--disable-background-networking",
            f"--user-data-dir={profile}",
            "--no-pdf-header-footer",
            f"--print-to-pdf={target.absolute()}",
            page.absolute().as_uri(),
        ]
        try:
            # a browser found on PATH, and a file that we have just written
            ended = subprocess.run(  # noqa: S603
                command,
                capture_output=True,
                timeout=_PRINTED_WITHIN_S,
                check=False,
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": profile},
            )
        except subprocess.TimeoutExpired:
            ended = None
    if ended is None or ended.returncode or not target.exists():
        raise Blocked(f"{page} is written, but Chromium could not print it", hint="Print the HTML file instead.")
    target.chmod(0o600)
    return target
