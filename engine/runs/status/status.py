"""``engine status``: what the tracking DB knows, as tables or as one JSON document. It only reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.runs.shared.answer import Found, answered, print_document
from engine.runs.shared.tables import line
from engine.runs.status import tables
from engine.runs.status.document import document_of, export, write_unready
from engine.runs.status.steps import after_errors, after_overview, after_readiness
from engine.settings import Settings
from engine.tracking.read.report import Report, open_report

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class StatusOptions:
    """``parts``: what to show, by the names of the flags; none: the overview."""

    parts: frozenset[str] = frozenset()
    recent_errors: int = 0
    export: Path | None = None
    not_ready: Path | None = None
    as_json: bool = False
    run_settings: bool = False

    @property
    def shown(self) -> frozenset[str]:
        """The parts, also where none is named."""
        return self.parts or (frozenset() if self.recent_errors else frozenset({"overview"}))


def show_status(settings: Settings, wanted: StatusOptions, console: Console) -> None:
    """Print what is wanted. Raises Blocked where there is no DB to read."""
    proofs, template = settings.switch.accept_proof, settings.destination.link_template
    parts = wanted.shown
    with open_report(settings.tracking.database) as report:
        if wanted.export is not None:
            export(report, wanted.export, proofs, after_overview(report))
        if wanted.not_ready is not None:
            count = write_unready(report, proofs, wanted.not_ready)
            if not wanted.as_json:
                line(console, f"Wrote {count:,} records that cannot be switched, and why, to {wanted.not_ready}")
        if wanted.as_json:
            document = document_of(
                report,
                proofs,
                accounts="accounts" in parts,
                recent_errors=wanted.recent_errors,
                run_settings=wanted.run_settings,
            )
            steps = after_overview(report) if "overview" in parts else []
            if "errors" in parts:
                steps += after_errors(report)
            if "readiness" in parts:
                strange = report.foreign_links(template)
                document["readiness"] |= {"foreign_link_count": strange.count, "foreign_links": strange.count}
                steps += after_readiness(document["readiness"]["reasons"], strange)
            print_document(answered(Found(document, steps)))
            return
        show_parts(report, parts, wanted.recent_errors, settings, console)
    if wanted.export is not None:
        line(console, f"Wrote the whole report to {wanted.export}")


def show_parts(report: Report, parts: frozenset[str], recent_errors: int, settings: Settings, console: Console) -> None:
    """The named tables, in their fixed order."""
    if "overview" in parts:
        tables.show_overview(report, console)
    if "runs" in parts:
        tables.show_runs(report, console)
    if "accounts" in parts:
        tables.show_accounts(report, console)
    if "errors" in parts:
        tables.show_errors(report, console)
    if recent_errors:
        tables.show_recent(report, recent_errors, console)
    if "readiness" in parts:
        foreign = report.foreign_links(settings.destination.link_template)
        tables.show_readiness(report, settings.switch.accept_proof, foreign, console)
