"""What to type next, by what the tracking DB knows: the same for the tables and for the document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.model.command import Advice, Command
from engine.runs.status.document import honest
from engine.tracking.read.links import FORMED_ANEW, Foreign
from engine.tracking.read.report import Report

_AGAIN: dict[str, Advice] = {
    "switch": ("the same ", Command("run switch … --execute")),
    "rollback": ("the same ", Command("run rollback … --execute")),
    "verify": Command("verify"),
    "backup": Command("run backup --incremental"),
}
"""For runs that have not noted their command."""
_RESUMES = {
    "switch": "goes on; links in doubt are read first",
    "rollback": "goes on; links in doubt are read first",
    "verify": "starts again",
    "import-legacy": "goes on",
}


def after_overview(report: Report) -> list[Advice]:
    """Of the last run, of links that lead to no copy, and of failures."""
    ended = [run for run in map(honest, report.runs(1)) if run["status"] in {"crashed", "stopped"}]
    steps: list[Advice] = [(_again(run), f"   {_RESUMES.get(run['run_type'], 'resumes')}") for run in ended]
    if report.unproved():
        steps.append((Command("verify"), "   lists them, and says what repairs them"))
    files = report.files()
    if files["failed"]:
        steps.append((Command("status --errors"), "   says why files failed"))
    return steps or _when_all_is_well(report, files)


def _when_all_is_well(report: Report, files: Mapping[str, int]) -> list[Advice]:
    """The next step of a migration."""
    if any(run["status"] == "running" for run in map(honest, report.runs(1))):
        return [(Command("status --watch"), "   shows it anew every 2 s")]
    if not report.scope()["complete"]:
        return [(Command("run backup --full"), "   copies every file")]
    if files["pending"]:
        return [(Command("run backup --incremental"), "   copies what is pending")]
    if files["backed_up"] + files["rolled_back"]:
        return [
            (Command("verify"), "   proves that the copies are there and hold what was copied"),
            (Command("run switch --dry-run"), "   writes a plan: every old and new link"),
        ]
    return [(Command("sweep"), "   searches the whole org for links that still lead to the vendor")]


def after_errors(report: Report) -> list[Advice]:
    """Of links that lead to no copy."""
    if not report.unproved():
        return []
    return [(Command("status --recent-errors 20"), "   says what a backup did about them")]


def after_readiness(reasons: Iterable[str], strange: Foreign) -> list[Advice]:
    """``reasons``: why records are not ready; ``strange``: links that a switch refuses."""
    steps: list[Advice] = []
    if any(reason.startswith("proof_") for reason in reasons):
        steps.append((Command("verify --level deep"), "   finds stronger proofs for them"))
    if strange.count:
        steps.append(FORMED_ANEW)
    return steps


def _again(run: dict[str, Any]) -> Advice:
    """What takes a run up again."""
    noted = run["config_snapshot"].get("again")
    return _AGAIN.get(run["run_type"], _AGAIN["backup"]) if noted is None else Command.noted(noted)
